"""`mode=fetch`: have a dataset in the cache and say where it is, how it was verified and what its licence asks for."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

from recseq.data.fetching.cache import fetch, fetched
from recseq.data.fetching.dataset import RemoteDataset, data_root
from recseq.data.fetching.remote_file import megabytes
from recseq.data.sources.base import SOURCES, build_source
from recseq.files import conf_folder
from recseq.plain import plain_dict


def fetch_dataset(config: Mapping[str, Any], folder: Path) -> None:
    """Fetch and verify the dataset of a config; list all that can be fetched where there is nothing to fetch.

    Args:
        config: A checked config.
        folder: The run's folder, which is taken away again: what was fetched is in the cache.

    Raises:
        DataError: It could not be fetched.
    """
    source = build_source(config)
    with no_run_folder(folder):
        if isinstance(source, RemoteDataset) and source.path is None:
            print_fetched(source)
        elif isinstance(source, RemoteDataset):
            print(f"{source.name} is read from dataset.path={source.folder()}: nothing to fetch.")
        else:
            print(f"The dataset {config['dataset']['type']} needs no fetching. These are fetched, by mode=fetch or when first used:\n")
            print_fetchable(config["paths"]["data"])


def print_fetched(source: RemoteDataset) -> None:
    """Fetch the files of a dataset, every byte checked, and print what they are."""
    records = [(file, fetch(file, source.cache, thorough=True)) for file in source.remote_files()]
    print(f"\n{source.name} is in {source.cache}")
    for file, record in records:
        print(f"  {file.name}  {megabytes(record.size)}, from {record.url}")
        if file.digest is None:
            print(f"    unverified: no digest is published; SHA-256 {record.sha256}, recorded {record.fetched}, must stay so")
        else:
            print(f"    verified: {file.digest.replace(':', ' ')}, published at {file.published}")
        for name, contents in record.contents.items():
            if name != file.name:
                print(f"    unpacked: {name}  {megabytes(contents.size)}")
    print(f"  licence: {source.licence}\n  cite: {source.citation}\n  {source.homepage}")


def print_fetchable(data_folder: str | None) -> None:
    """A table of all datasets of `conf/dataset` (and of the user's own folder) that are fetched, and the names of the others."""
    table = Table(box=None, pad_edge=False)
    table.add_column("dataset=", no_wrap=True)
    table.add_column("download", no_wrap=True, justify="right")
    for name in ("digest", "cached", "licence"):
        table.add_column(name, overflow="fold")
    others = []
    for name, source, missing in datasets(data_folder):
        if source is None:
            others.append(name)
            continue
        if missing:
            table.add_row(name, f"by {', '.join(missing)}", "", "", source.licence)
            continue
        files = source.remote_files()
        sizes = [file.size for file in files if file.size is not None]
        kinds = dict.fromkeys(file.digest.partition(":")[0] if file.digest else "of first use" for file in files)
        there = all(fetched(file, source.cache) for file in files)
        size = megabytes(sum(sizes)) if len(sizes) == len(files) else "unknown"
        table.add_row(name, size, ", ".join(kinds), "yes" if there else "no", source.licence)
    Console(highlight=False).print(table)
    print(f"\nNot fetched: {', '.join(others)}")
    print(f"Cache: {data_root(data_folder)} (paths.data, else the environment variable RECSEQ_DATA, moves it)")


def datasets(data_folder: str | None) -> Iterator[tuple[str, RemoteDataset | None, list[str]]]:
    """Name of each dataset, its source (None where nothing is fetched), and its options without a value."""
    with hydra():
        for name in GlobalHydra.instance().config_loader().get_group_options("dataset"):
            node = compose("config", overrides=[f"dataset={name}"]).dataset
            if not issubclass(SOURCES.find(node.type, "dataset.type"), RemoteDataset):
                yield name, None, []
                continue
            missing = [f"dataset.{key}" for key in sorted(OmegaConf.missing_keys(node))]
            source = SOURCES.build(plain_dict(node), data_folder=data_folder)
            assert isinstance(source, RemoteDataset)
            yield name, source, missing


@contextmanager
def hydra() -> Iterator[None]:
    """Hydra with the search path of the program that runs, or with the shipped one outside of a program."""
    if GlobalHydra.instance().is_initialized():
        yield
    else:
        with initialize_config_dir(str(conf_folder()), version_base="1.3"):
            yield


@contextmanager
def no_run_folder(folder: Path) -> Iterator[None]:
    """Keep the log on the terminal alone, and take the empty folder away that Hydra has made."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, logging.FileHandler):
            root.removeHandler(handler)
    try:
        yield
    finally:
        for empty in (folder, folder.parent):
            with suppress(OSError):  # it holds something after all
                empty.rmdir()
