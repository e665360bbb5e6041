"""Every dataset that is fetched, from a server on this machine: a small archive in the true format, well and badly served."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from loopback import Loopback, left_in, zipped
from served_datasets import BODIES, MOVIETWEETINGS, UNVERIFIED, rows_of, served, source_of

from recseq.data.fetching import RemoteDataset
from recseq.errors import DataError

ZIPPED = sorted(name for name, bodies in BODIES.items() if any(file.endswith(".zip") for file in bodies))


@pytest.mark.parametrize("name", BODIES)
def test_good(loopback: Loopback, tmp_path: Path, name: str) -> None:
    source = served(name, tmp_path, loopback)
    data = source.read()
    assert data.name.partition(":")[0] == source.name
    assert len(data.interactions) == rows_of(name)
    assert source.folder() == tmp_path / source.name
    source.read()
    assert set(loopback.requests.values()) == {1}
    for file in source.remote_files():
        assert file.url.startswith("http://127.0.0.1")
        assert (file.digest is None) == (file.published is None) == (name in UNVERIFIED)
    assert bool(source.unverified()) == (name in UNVERIFIED)
    again = source_of(name, tmp_path / "elsewhere")
    again.path = source.folder()
    assert again.read().interactions.fingerprint == data.interactions.fingerprint
    assert all(getattr(source, attribute) for attribute in ("licence", "citation", "homepage"))


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize(
    ("fault", "reason"),
    [("truncated", "ended early"), ("404", "answers 404"), ("slow", "has sent nothing for 0.5 s"), ("reset", "has reset the connection")],
)
def test_badly_served(loopback: Loopback, tmp_path: Path, name: str, fault: str, reason: str) -> None:
    refused(served(name, tmp_path, loopback, fault), reason)


@pytest.mark.parametrize("name", BODIES)
def test_another_file_than_published_or_recorded(loopback: Loopback, tmp_path: Path, name: str) -> None:
    source = served(name, tmp_path, loopback)
    if name in UNVERIFIED:  # the first one counts
        source.read()
        for path in (*source.files(), *(source.cache / file.name for file in source.remote_files())):
            path.unlink(missing_ok=True)
    for file in source.remote_files():
        loopback.put(file.name, BODIES[name][file.name] + b" ")
    kind = (source.remote_files()[0].digest or "sha256").split(":")[0]
    refused(source, f"what came is not the file: its {kind} is ")


@pytest.mark.parametrize("name", ZIPPED)
@pytest.mark.parametrize("evil", ["climbs", "bomb"])
def test_evil_archives(loopback: Loopback, tmp_path: Path, name: str, evil: str) -> None:
    (file,) = source_of(name, tmp_path).remote_files()
    inside = dict.fromkeys(file.unpack.members, b"x")
    if evil == "climbs":
        body, reason = zipped(inside | {"../evil.txt": b"x"}), "whose path leaves the folder"
    else:
        body, reason = zipped(dict.fromkeys(inside, bytes(100_000))), "unpacks to more than the 1,000 bytes it may have"
    source = served(name, tmp_path, loopback, bodies={file.name: body})
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
        for file in source_of(name, Path()).remote_files():
            if file.unpack is not None:
                assert file.size is not None
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
    assert rows["Not"] == "Not fetched: complete_journey, demo, demo_kion, tabular"
    assert "mode=fetch" in recseq(tmp_path, "--help").stdout
    assert not list((tmp_path / "outputs").rglob("*.*"))


def test_mode_fetch_is_no_sweep(tmp_path: Path) -> None:
    done = recseq(tmp_path, "-m", "mode=fetch", "dataset=kion", "tracking=none")
    assert done.returncode != 0
    assert "mode=fetch is no job of a sweep; leave out -m and experiment=" in done.stderr + done.stdout
