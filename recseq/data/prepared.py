"""Prepared data: read, preprocessed, and kept in files so that the next run need not do it again."""

import hashlib
import inspect
import json
import logging
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import recseq
from recseq.data.fetching import RemoteDataset
from recseq.data.interactions import Dataset, Interactions, ItemFeatures
from recseq.data.preprocessing import Preprocessing
from recseq.data.sources import KnowsFiles, Source, build_source
from recseq.errors import DataError
from recseq.files import file_digest, written_aside

log = logging.getLogger(__name__)

FORMAT = 2
"""Goes up when the files of an entry change their meaning."""
MAX_BYTES = 20 * 10**9
"""Entries unused for longest leave when all take more."""
LEFT_BEHIND = 24 * 3600
"""Age in seconds from which half-written entries are nobody's."""
COUNTS = ("n_users", "n_items", "tied_rows", "fingerprint")
"""What `Interactions` computes slowly and is kept beside the rows."""
META = "meta.json"


def read_prepared(config: Mapping[str, Any]) -> Dataset:
    """Read a dataset and preprocess it, or take both from the cache.

    An entry of the cache is used only for equal options of source and preprocessing, unchanged files (`file_stamps`) and unchanged
    code that reads them, and only if its own files are whole: their hashes are checked each time. Entries are folders, written aside
    and renamed: jobs in parallel at worst prepare the same twice. Sources that do not say which files they read are not kept.

    Args:
        config: A checked config; of it `dataset` (whose `cache: false` turns the cache off), `preprocessing`, and `paths` with the
            folder of the cache and that of fetched files.

    Raises:
        DataError: The data is missing, broken, empty, could not be fetched, or preprocessing leaves none.
    """
    dataset, folder = config["dataset"], Path(config["paths"]["cache"])
    source = build_source(config)
    steps = Preprocessing(**config["preprocessing"])
    stamps = file_stamps(source) if dataset.get("cache", False) else None
    if stamps is None:
        return prepare(source, steps)
    options = {key: value for key, value in dataset.items() if key != "cache"}
    entry = Entry(folder / f"{options['type']}-{key_of(options, steps, stamps, source)}")
    found = entry.load()
    if found is not None:
        return found
    fresh = prepare(source, steps)
    if file_stamps(source) != stamps:
        log.warning("the files of dataset %s changed while they were read; the data is not kept in the cache", fresh.name)
        return fresh
    try:
        entry.store(fresh)
        make_room(folder, MAX_BYTES)
    except OSError as error:  # a full disk or a folder that may not be written to is no reason to stop
        if not entry.folder.exists():  # else another job was faster, with the same data
            log.warning("the prepared data cannot be kept in %s: %s", folder, error)
    return fresh


def prepare(source: Source, steps: Preprocessing) -> Dataset:
    """Read and preprocess.

    Raises:
        DataError: There are no interactions.
    """
    dataset = source.read()
    if isinstance(source, RemoteDataset):
        dataset = replace(dataset, notes=(*dataset.notes, *source.unverified()))
    if len(dataset.interactions) == 0:
        raise DataError(f"dataset {dataset.name} has no interactions")
    return dataset if steps.is_off else steps.apply(dataset)


def file_stamps(source: Source) -> list[tuple[str, int, int, int, int]] | None:
    """What tells a changed file without reading it: path, size, inode, and the times of change of content and of inode.

    The last cannot be set by a program (as `cp -p`, `rsync -t` and `touch -r` set the time of change of content), so a file that was
    replaced by another of the same size and date is seen too. A content hash would cost seconds on large data.

    Returns:
        One a file, none for simulated data, or None where the source does not know its files or one is missing: reading says why.
    """
    if not isinstance(source, KnowsFiles):
        return None
    try:
        states = [(path.resolve(), path.stat()) for path in source.files()]
    except OSError:
        return None
    return [(str(path), state.st_size, state.st_ino, state.st_mtime_ns, state.st_ctime_ns) for path, state in states]


def key_of(options: Mapping[str, Any], steps: Preprocessing, stamps: list[Any], source: Source) -> str:
    """Hash of all that the prepared data hangs on."""
    code = hashlib.sha256()
    # what reads: recseq's data package, and the module of a source that is not ours
    for file in sorted({*Path(__file__).parent.rglob("*.py"), Path(inspect.getfile(type(source)))}):
        code.update(file.read_bytes())
    versions = [FORMAT, recseq.__version__, pl.__version__, np.__version__, code.hexdigest()]
    text = json.dumps([options, asdict(steps), stamps, versions], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Entry:
    """One dataset in the cache: a folder of Parquet files and `meta.json`, which has their hashes.

    Args:
        folder: The folder.
    """

    folder: Path

    def load(self) -> Dataset | None:
        """The dataset, or None where there is none; a broken one is removed, with a warning."""
        try:
            meta = json.loads((self.folder / META).read_bytes())
            for name, digest in meta["sha256"].items():
                if file_digest(self.folder / name, "sha256") != digest:
                    raise ValueError(f"{name} is not what was written")
            tables = {name.removesuffix(".parquet"): pl.read_parquet(self.folder / name, glob=False) for name in meta["sha256"]}
            interactions = Interactions(tables["interactions"], meta["clock"])
            vars(interactions).update({name: meta["counts"][name] for name in COUNTS})  # where cached_property looks first
            features = None
            if "categorical" in tables:
                features = ItemFeatures(tables["categorical"], tables["numeric"])
                vars(features)["fingerprint"] = meta["features_fingerprint"]
            dataset = Dataset(
                name=meta["name"],
                interactions=interactions,
                item_features=features,
                titles=tables.get("titles"),
                users=tables.get("users"),
                simulated=meta["simulated"],
                notes=tuple(meta["notes"]),
                dropped=meta["dropped"],
            )
            os.utime(self.folder)  # tells `make_room` that it is in use
        except (FileNotFoundError, NotADirectoryError):
            if not self.folder.exists():
                return None  # never there, or made room for others just now
            self.remove("a file is missing")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, pl.exceptions.PolarsError, DataError) as error:
            self.remove(str(error))
        else:
            log.info("%s: prepared data from %s", dataset.label, self.folder)
            return dataset
        return None

    def store(self, dataset: Dataset) -> None:
        """Write the folder.

        Raises:
            OSError: It cannot be written, or is there already, from another job.
        """
        features = dataset.item_features
        given = {
            "interactions": dataset.interactions.frame,
            "categorical": None if features is None else features.categorical,
            "numeric": None if features is None else features.numeric,
            "titles": dataset.titles,
            "users": dataset.users,
        }
        tables = {name: table for name, table in given.items() if table is not None}
        with written_aside(self.folder) as aside:
            aside.mkdir()
            for name, table in tables.items():
                table.write_parquet(aside / f"{name}.parquet", compression="lz4")
            meta = {
                "name": dataset.name,
                "clock": dataset.interactions.clock,
                "simulated": dataset.simulated,
                "notes": dataset.notes,
                "dropped": dataset.dropped,
                "counts": {name: getattr(dataset.interactions, name) for name in COUNTS},
                "features_fingerprint": features.fingerprint if features is not None else None,
                "sha256": {f"{name}.parquet": file_digest(aside / f"{name}.parquet", "sha256") for name in tables},
            }
            (aside / META).write_text(json.dumps(meta, indent=2))

    def remove(self, why: str) -> None:
        """Take a broken entry away, for the data to be prepared anew."""
        log.warning("prepared data in %s is broken (%s) and is made anew", self.folder, why)
        discard(self.folder)


def discard(folder: Path) -> None:
    """Remove a folder that others may be reading: renamed first, so that nobody sees half of it."""
    trash = folder.with_name(f".{folder.name}.{os.getpid()}.trash")
    try:
        folder.rename(trash)
    except OSError:  # somebody else was faster
        return
    shutil.rmtree(trash, ignore_errors=True)


def make_room(cache: Path, max_bytes: int) -> None:
    """Remove the entries unused for longest until the others take no more than `max_bytes`, and what killed jobs left behind.

    The entry used last stays whatever its size.
    """
    entries = []
    for folder in cache.iterdir():
        try:
            used = folder.stat().st_mtime
            if folder.name.startswith("."):
                if time.time() - used > LEFT_BEHIND:
                    shutil.rmtree(folder, ignore_errors=True)
            elif (folder / META).is_file():
                entries.append((used, sum(file.stat().st_size for file in folder.iterdir()), folder))
        except OSError:  # another job removed it
            continue
    total = 0
    for place, (_, size, folder) in enumerate(sorted(entries, reverse=True)):
        total += size
        if place and total > max_bytes:
            discard(folder)
