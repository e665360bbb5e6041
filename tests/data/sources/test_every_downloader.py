"""Every dataset that is fetched, from a server on this machine: a small archive in the true format, well and badly served."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from loopback import KION, MOVIELENS, MOVIETWEETINGS, Loopback, from_loopback, left_in, zipped
from omegaconf import OmegaConf

from recseq.data.fetching import RemoteDataset
from recseq.data.sources import SOURCES
from recseq.errors import DataError
from recseq.files import conf_folder


def archive(folder: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}.zip": zipped({f"{folder}/{name}": body for name, body in {"README": b"x", **files}.items()})}


BODIES = {
    "kion": archive("data_en", KION),
    "movietweetings": MOVIETWEETINGS,
    **{f"movielens_{version}": archive(f"ml-{version.replace('_', '-')}", files) for version, files in MOVIELENS.items()},
}
ROWS = {"kion": 5, "movietweetings": 2}


def dataset(name: str, data_folder: Path) -> RemoteDataset:
    node = OmegaConf.to_container(OmegaConf.load(conf_folder() / "dataset" / f"{name}.yaml"))
    assert isinstance(node, dict)
    source = SOURCES.build(node, data_folder=str(data_folder))
    assert isinstance(source, RemoteDataset)
    return source


@pytest.mark.parametrize("name", BODIES)
def test_good(loopback: Loopback, tmp_path: Path, name: str) -> None:
    source = from_loopback(dataset(name, tmp_path), loopback, BODIES[name])
    data = source.read()
    assert data.name == name == source.name
    assert len(data.interactions) == ROWS.get(name, 3)
    assert source.folder() == tmp_path / name
    source.read()
    assert set(loopback.requests.values()) == {1}
    for file in source.remote_files():
        assert file.url.startswith("http://127.0.0.1")
        assert (file.digest is None) == (file.published is None) == (name == "movielens_latest_small")
    again = dataset(name, tmp_path / "elsewhere")
    again.path = source.folder()
    assert again.read().interactions.fingerprint == data.interactions.fingerprint
    assert all(getattr(source, attribute) for attribute in ("licence", "citation", "homepage"))


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize(
    ("fault", "reason"),
    [("truncated", "ended early"), ("404", "answers 404"), ("slow", "has sent nothing for 0.5 s"), ("reset", "has reset the connection")],
)
def test_badly_served(loopback: Loopback, tmp_path: Path, name: str, fault: str, reason: str) -> None:
    source = from_loopback(dataset(name, tmp_path), loopback, BODIES[name], fault)
    refused(source, reason)


@pytest.mark.parametrize("name", sorted(set(BODIES) - {"movielens_latest_small"}))
def test_another_file_than_published(loopback: Loopback, tmp_path: Path, name: str) -> None:
    source = from_loopback(dataset(name, tmp_path), loopback, BODIES[name])
    for file in source.remote_files():
        loopback.put(file.name, BODIES[name][file.name] + b" ")
    kind = source.remote_files()[0].digest.split(":")[0]
    refused(source, f"what came is not the file: its {kind} is ")


@pytest.mark.parametrize("name", sorted(set(BODIES) - {"movietweetings"}))
@pytest.mark.parametrize("evil", ["climbs", "bomb"])
def test_evil_archives(loopback: Loopback, tmp_path: Path, name: str, evil: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (file,) = dataset(name, tmp_path).remote_files()
    inside = dict.fromkeys(file.unpack.members, b"x")
    if evil == "climbs":
        body, reason = zipped(inside | {"../evil.txt": b"x"}), "whose path leaves the folder"
    else:
        object.__setattr__(file.unpack, "max_bytes", 1000)
        body, reason = zipped(dict.fromkeys(inside, bytes(100_000))), "unpacks to more than the 1,000 bytes it may have"
    source = from_loopback(dataset(name, tmp_path), loopback, {file.name: body})
    if evil == "bomb":
        object.__setattr__(source.remote_files()[0].unpack, "max_bytes", 1000)
    refused(source, reason)
    assert not list(tmp_path.rglob("evil*"))


def refused(source: RemoteDataset, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        source.read()
    message = str(caught.value)
    assert reason in message
    assert len(message.splitlines()) == 2
    assert "Without a network: put the file of http://127.0.0.1" in message
    assert left_in(source.cache) == set()


def test_the_limit_of_unpacked_bytes_is_beyond_what_the_archives_hold() -> None:
    """MovieLens 32M unpacks its two files to 0.9 GB, 25M to 0.7 GB: well below 20 times the archive."""
    for name in BODIES:
        for file in dataset(name, Path()).remote_files():
            assert file.size is not None
            if file.unpack is not None:
                assert 10 * file.size <= file.unpack.max_bytes <= 30 * file.size


def recseq(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"RECSEQ_DATA": str(folder / "cache"), "COLUMNS": "200"}
    command = [sys.executable, "-m", "recseq.cli", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def cached(tmp_path: Path, movietweetings: Path) -> Path:
    """A folder with the real files where fetching would put them."""
    folder = tmp_path / "cache" / "movietweetings"
    folder.mkdir(parents=True)
    for name in MOVIETWEETINGS:
        (folder / name).write_bytes((movietweetings / name).read_bytes())
    return tmp_path


def test_mode_fetch_verifies_and_says_what_there_is(cached: Path) -> None:
    """The real files, put there by hand, have the digests of the commit: no network is needed."""
    done = recseq(cached, "mode=fetch", "dataset=movietweetings")
    assert done.returncode == 0, done.stderr
    for text in (
        f"movietweetings is in {cached / 'cache' / 'movietweetings'}",
        "ratings.dat  4.19 MB, from https://raw.githubusercontent.com/",
        "verified: git-blob-sha1 35e148c293fdaa6fb57b6a66acc43d25aec79803, published at https://github.com/",
        "licence: MIT",
        "cite: Dooms",
    ):
        assert text in done.stdout
    assert not list((cached / "outputs").rglob("*.*"))


def test_mode_fetch_lists_what_is_fetched(tmp_path: Path) -> None:
    done = recseq(tmp_path, "mode=fetch")
    assert done.returncode == 0, done.stderr
    assert "The dataset demo needs no fetching" in done.stdout
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line}
    for name in BODIES:
        assert name in rows
    assert "of first use" in rows["movielens_latest_small"]
    assert "262 MB" in rows["movielens_25m"]
    assert "md5" in rows["movielens_25m"]
    assert "demo_kion" not in rows
    assert "mode=fetch" in recseq(tmp_path, "--help").stdout
    assert not list((tmp_path / "outputs").rglob("*.*"))


def test_mode_fetch_is_no_sweep(tmp_path: Path) -> None:
    done = recseq(tmp_path, "-m", "mode=fetch", "dataset=kion", "tracking=none")
    assert done.returncode != 0
    assert "mode=fetch fetches one dataset and is no job of a sweep; leave out -m" in done.stderr + done.stdout
