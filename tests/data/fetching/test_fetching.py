"""Fetching against a server on this machine: what is good is there once, what is bad leaves one message and nothing else."""

import gzip
import io
import subprocess
import sys
import tarfile
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pooch
import pytest
from loopback import Loopback, digest, left_in, zipped

from recseq.data.fetching import Gzip, RemoteDataset, RemoteFile, Zip
from recseq.data.fetching.cache import fetch, fetched
from recseq.data.fetching.dataset import data_root
from recseq.data.fetching.download import Patience
from recseq.errors import DataError
from recseq.files import file_digest

BODY = b"user,item\n" * 50_000
ARCHIVE = zipped({"data/a.csv": BODY, "data/readme.txt": b"not taken"})
UNPACK = Zip(members={"data/a.csv": "a.csv"}, max_bytes=len(BODY), max_members=10)


def plain(url: str, body: bytes | None = BODY) -> RemoteFile:
    known = None if body is None else digest("sha256", body)
    return RemoteFile(name="a.csv", url=url, digest=known, published=known and "http://page", size=len(BODY), unpack=None)


def archive(url: str, body: bytes, unpack: Zip | Gzip = UNPACK, name: str = "a.zip") -> RemoteFile:
    return RemoteFile(name=name, url=url, digest=digest("md5", body), published="http://page", size=None, unpack=unpack)


def refused(file: RemoteFile, folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        fetch(file, folder)
    assert left_in(folder) == set()
    assert fetched(file, folder) is None
    return str(caught.value)


def test_a_file_is_fetched_once(loopback: Loopback, tmp_path: Path) -> None:
    file = plain(loopback.put("a.csv", BODY))
    first = fetch(file, tmp_path)
    assert (tmp_path / "a.csv").read_bytes() == BODY
    assert (first.size, first.digest) == (len(BODY), file.digest)
    assert fetch(file, tmp_path) == first
    assert fetch(file, tmp_path, thorough=True) == first
    assert loopback.requests["a.csv"] == 1
    assert left_in(tmp_path) == {"a.csv"}


@pytest.mark.parametrize("kind", ["md5", "sha256", "git-blob-sha1"])
def test_digests(loopback: Loopback, tmp_path: Path, kind: str) -> None:
    file = replace(plain(loopback.put("a.csv", BODY)), digest=digest(kind, BODY))
    fetch(file, tmp_path)
    assert f"{kind}:{file_digest(tmp_path / 'a.csv', kind)}" == file.digest


def test_a_git_blob_is_named_as_git_names_it(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"what is up, doc?")
    assert file_digest(tmp_path / "x", "git-blob-sha1") == "bd9dbf5aae1a3862dd1526723246b20206e5fc37"  # the example of Pro Git, 10.2


def test_a_zip_file_is_unpacked(loopback: Loopback, tmp_path: Path) -> None:
    record = fetch(archive(loopback.put("a.zip", ARCHIVE), ARCHIVE), tmp_path)
    assert left_in(tmp_path) == {"a.zip", "a.csv"}
    assert (tmp_path / "a.csv").read_bytes() == BODY
    assert set(record.contents) == {"a.csv"}


def test_a_gzip_file_is_unpacked_and_comes_as_it_is(loopback: Loopback, tmp_path: Path) -> None:
    body = gzip.compress(BODY)
    file = archive(loopback.put("a.csv.gz", body), body, Gzip(name="a.csv", max_bytes=len(BODY)), "a.csv.gz")
    fetch(file, tmp_path)
    assert (tmp_path / "a.csv").read_bytes() == BODY
    assert (tmp_path / "a.csv.gz").read_bytes() == body


def test_the_archive_may_go_once_it_is_unpacked(loopback: Loopback, tmp_path: Path) -> None:
    file = archive(loopback.put("a.zip", ARCHIVE), ARCHIVE)
    fetch(file, tmp_path)
    (tmp_path / "a.zip").unlink()
    fetch(file, tmp_path)
    assert loopback.requests["a.zip"] == 1


def test_wrong_hash(loopback: Loopback, tmp_path: Path) -> None:
    message = refused(plain(loopback.put("a.csv", BODY + b"x")), tmp_path)
    found, expected = digest("sha256", BODY + b"x")[7:], digest("sha256", BODY)[7:]
    assert f"its sha256 is {found}, expected {expected} (published at http://page)" in message
    assert loopback.requests["a.csv"] == 1  # another try would bring the same


FAULTS = {
    "404": ("answers 404", 1),
    "403": ("answers 403", 1),
    "503": ("answers 503", 2),
    "truncated": (f"ended early, after {len(BODY) // 2:,} of {len(BODY):,} bytes (2 tries)", 2),
    "slow": ("has sent nothing for 0.5 s (RECSEQ_DATA_TIMEOUT=SECONDS waits longer) (2 tries)", 2),
    "reset": ("has reset the connection (2 tries)", 2),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_the_server(loopback: Loopback, tmp_path: Path, fault: str) -> None:
    reason, tries = FAULTS[fault]
    url = loopback.put("a.csv", BODY, fault)
    message = refused(plain(url), tmp_path / "data")
    first, second = message.splitlines()
    assert first.startswith("cannot fetch a.csv: 127.0.0.1:") or first.startswith("cannot fetch a.csv: the connection to 127.0.0.1:")
    assert reason in first
    assert second == (
        f"Without a network: put the file of {url} at {tmp_path / 'data' / 'a.csv'} (it will be verified), "
        "or set dataset.path to a folder that has a.csv"
    )
    assert loopback.requests["a.csv"] == tries


@pytest.mark.parametrize("fault", ["truncated", "slow", "reset", "503"])
def test_a_passing_fault_is_overcome(loopback: Loopback, tmp_path: Path, fault: str) -> None:
    fetch(plain(loopback.put("a.csv", BODY, fault, times=1)), tmp_path)
    assert (tmp_path / "a.csv").read_bytes() == BODY


def test_nobody_listens(tmp_path: Path, loopback: Loopback) -> None:
    assert "127.0.0.1:1 refuses connections" in refused(plain("http://127.0.0.1:1/a.csv"), tmp_path)


EVIL = {
    "climbs": (zipped({"data/a.csv": BODY, "../evil.txt": b"x"}), "'../evil.txt', whose path leaves the folder"),
    "climbs inside": (zipped({"data/a.csv": BODY, "data/../../evil.txt": b"x"}), "leaves the folder"),
    "climbs in Windows": (zipped({"data/a.csv": BODY, "..\\evil.txt": b"x"}), "leaves the folder"),
    "absolute": (zipped({"data/a.csv": BODY, "/tmp/evil.txt": b"x"}), "'/tmp/evil.txt', whose path leaves the folder"),
    "drive": (zipped({"data/a.csv": BODY, "C:\\evil.txt": b"x"}), "leaves the folder"),
    "link": (zipped({"data/b.csv": BODY}, {"data/a.csv": "/etc/passwd"}), "'data/a.csv', which is a link"),
    "bomb": (zipped({"data/a.csv": bytes(50_000_000)}), f"unpacks to more than the {len(BODY):,} bytes"),
    "crowd": (zipped({"data/a.csv": BODY} | {f"data/{i}": b"" for i in range(20)}), "lists 21 members, more than the 10"),
    "lacks": (zipped({"data/b.csv": BODY}), "has not exactly one member 'data/a.csv'; it has data/b.csv"),
    "no zip": (BODY, "is no sound zip file"),
    "damaged": (ARCHIVE[:200] + bytes(50) + ARCHIVE[250:], "is no sound zip file"),
}


@pytest.mark.parametrize("case", EVIL)
def test_zip_files_that_are_refused(loopback: Loopback, tmp_path: Path, case: str) -> None:
    body, reason = EVIL[case]
    message = refused(archive(loopback.put("a.zip", body), body), tmp_path / "root" / "name")
    assert message.startswith("cannot fetch a.zip: ")
    assert reason in message
    assert {path.name for path in (tmp_path / "root").iterdir()} == {"name"}
    assert {path.name for path in tmp_path.iterdir()} == {"root"}


def test_an_encrypted_member_is_refused(loopback: Loopback, tmp_path: Path) -> None:
    body = bytearray(ARCHIVE)
    with zipfile.ZipFile(io.BytesIO(ARCHIVE)) as opened:
        start = opened.start_dir
    body[start + 8] |= 1  # general purpose bit 0 of the first entry of the central directory
    message = refused(archive(loopback.put("a.zip", bytes(body)), bytes(body)), tmp_path)
    assert "member 'data/a.csv' is encrypted" in message


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (gzip.compress(bytes(50_000_000)), "unpacks to more than the 1,000 bytes"),
        (gzip.compress(b"x" * 1000)[:-4], "is no sound gzip file"),
        (b"plain", "is no sound gzip file"),
    ],
    ids=["bomb", "cut", "no gzip"],
)
def test_gzip_files_that_are_refused(loopback: Loopback, tmp_path: Path, body: bytes, reason: str) -> None:
    file = archive(loopback.put("a.csv.gz", body), body, Gzip(name="a.csv", max_bytes=1000), "a.csv.gz")
    assert reason in refused(file, tmp_path)


def test_a_tar_file_is_no_zip(loopback: Loopback, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("data/a.csv"))
    assert "no sound zip" in refused(archive(loopback.put("a.zip", buffer.getvalue()), buffer.getvalue()), tmp_path)


def test_without_a_published_digest_the_first_file_counts(loopback: Loopback, tmp_path: Path) -> None:
    file = plain(loopback.put("a.csv", BODY), None)
    record = fetch(file, tmp_path)
    assert record.digest is None
    assert f"sha256:{record.sha256}" == digest("sha256", BODY)
    (tmp_path / "a.csv").unlink()
    loopback.put("a.csv", BODY + b"x")
    with pytest.raises(DataError, match=r"recorded on first use, .*; remove \.a\.csv\.json to accept another"):
        fetch(file, tmp_path)
    assert left_in(tmp_path) == set()
    (tmp_path / ".a.csv.json").unlink()
    assert fetch(file, tmp_path).size == len(BODY) + 1


def test_what_was_changed_is_fetched_anew(loopback: Loopback, tmp_path: Path) -> None:
    file = plain(loopback.put("a.csv", BODY))
    fetch(file, tmp_path)
    (tmp_path / "a.csv").write_bytes(BODY + b"edited")
    fetch(file, tmp_path)
    assert (tmp_path / "a.csv").read_bytes() == BODY
    assert loopback.requests["a.csv"] == 2


def test_what_was_unpacked_and_changed_is_unpacked_anew(loopback: Loopback, tmp_path: Path) -> None:
    file = archive(loopback.put("a.zip", ARCHIVE), ARCHIVE)
    fetch(file, tmp_path)
    (tmp_path / "a.csv").write_bytes(b"edited")
    fetch(file, tmp_path)
    assert (tmp_path / "a.csv").read_bytes() == BODY
    assert loopback.requests["a.zip"] == 1


def test_only_a_new_date_is_no_change(loopback: Loopback, tmp_path: Path) -> None:
    file = plain(loopback.put("a.csv", BODY))
    fetch(file, tmp_path)
    (tmp_path / "a.csv").touch()
    assert fetched(file, tmp_path) is None
    fetch(file, tmp_path)
    assert fetched(file, tmp_path)
    assert loopback.requests["a.csv"] == 1


def test_another_digest_means_another_file(loopback: Loopback, tmp_path: Path) -> None:
    fetch(plain(loopback.put("a.csv", BODY)), tmp_path)
    newer = plain(loopback.put("a.csv", BODY * 2), BODY * 2)
    fetch(newer, tmp_path)
    assert (tmp_path / "a.csv").read_bytes() == BODY * 2


def test_an_archive_put_there_by_hand_is_verified_and_unpacked(loopback: Loopback, tmp_path: Path) -> None:
    file = archive(loopback.url("nowhere.zip"), ARCHIVE)
    (tmp_path / "a.zip").write_bytes(ARCHIVE)
    fetch(file, tmp_path)
    assert (tmp_path / "a.csv").read_bytes() == BODY
    assert not loopback.requests


def test_a_half_download_is_never_used(loopback: Loopback, tmp_path: Path) -> None:
    """Left by a killed process: aside, or (by another program) in place."""
    (tmp_path / ".a.csv.partial").mkdir()
    (tmp_path / ".a.csv.partial" / "a.csv").write_bytes(BODY[:1000])
    (tmp_path / "a.csv").write_bytes(BODY[:1000])
    fetch(plain(loopback.put("a.csv", BODY)), tmp_path)
    assert (tmp_path / "a.csv").read_bytes() == BODY
    assert left_in(tmp_path) == {"a.csv"}


def test_a_damaged_record_is_said(loopback: Loopback, tmp_path: Path) -> None:
    (tmp_path / ".a.csv.json").write_text("{")
    with pytest.raises(DataError, match=r"\.a\.csv\.json is no record of a fetched file; remove it"):
        fetch(plain(loopback.put("a.csv", BODY)), tmp_path)


def test_a_folder_that_cannot_be_written_to(loopback: Loopback, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write to .*set paths\.data or RECSEQ_DATA to another folder"):
        fetch(plain(loopback.put("a.csv", BODY)), tmp_path / "file" / "data")


CHILD = """
import logging, sys
from pathlib import Path
from recseq.data.fetching import RemoteFile, Zip
from recseq.data.fetching.cache import fetch
logging.basicConfig(level="INFO", stream=sys.stdout, format="%(message)s")
url, digest, folder = sys.argv[1:]
unpack = Zip(members={"data/a.csv": "a.csv"}, max_bytes=10**6)
fetch(RemoteFile(name="a.zip", url=url, digest=digest, published="x", size=None, unpack=unpack), Path(folder))
print("done", flush=True)
"""


def test_two_processes_share_one_download(loopback: Loopback, tmp_path: Path) -> None:
    loopback.hold = threading.Event()
    command = [sys.executable, "-c", CHILD, loopback.put("a.zip", ARCHIVE), digest("md5", ARCHIVE), str(tmp_path)]
    first, second = (subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2))
    try:
        lines = {process: process.stdout.readline() for process in (first, second)}  # each says that it fetches or that it waits
        assert sorted(line.split()[0] for line in lines.values()) == ["another", "fetching"]
        loopback.hold.set()
        assert [process.communicate(timeout=60)[0].splitlines()[-1] for process in (first, second)] == ["done", "done"]
        assert loopback.requests["a.zip"] == 1
        assert (tmp_path / "a.csv").read_bytes() == BODY
    finally:
        first.kill()
        second.kill()


def test_the_cache_is_the_option_then_the_variable_then_the_systems(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RECSEQ_DATA", raising=False)
    assert data_root(None) == Path(pooch.os_cache("recseq"))
    monkeypatch.setenv("RECSEQ_DATA", str(tmp_path / "variable"))
    assert data_root(None) == tmp_path / "variable"
    assert data_root(str(tmp_path / "option")) == tmp_path / "option"


@pytest.mark.parametrize("text", ["soon", "0", "-1", "inf", "nan"])
def test_a_bad_timeout_is_said(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("RECSEQ_DATA_TIMEOUT", text)
    with pytest.raises(DataError, match=f"RECSEQ_DATA_TIMEOUT is '{text}', must be a number of seconds > 0"):
        Patience.from_environment()


def test_the_timeout_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSEQ_DATA_TIMEOUT", "2.5")
    assert Patience.from_environment().timeout_s == 2.5


class Small(RemoteDataset):
    name, licence, citation, homepage = "small", "none", "none", "http://page"

    def remote_files(self) -> list[RemoteFile]:
        return [archive("http://127.0.0.1:1/a.zip", ARCHIVE)]


def test_a_folder_of_the_users_is_not_verified_but_must_be_whole(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dataset\.path is .*which lacks a\.csv; it must be a folder with a\.csv, or null"):
        Small(path=str(tmp_path)).folder()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("")
    assert Small(path=str(tmp_path)).folder() == tmp_path / "data"  # as unzip leaves it
    (tmp_path / "a.csv").write_text("")
    assert Small(path=str(tmp_path)).folder() == tmp_path
    (tmp_path / "other.csv").write_text("")
    assert Small(path=str(tmp_path / "other.csv")).files() == [tmp_path / "other.csv"]


def test_a_file_of_a_repository_at_a_commit() -> None:
    file = RemoteFile.at_commit("owner/name", "c0ffee", "data/a.csv", "b10b", 10)
    assert (file.name, file.digest) == ("a.csv", "git-blob-sha1:b10b")
    assert file.url == "https://raw.githubusercontent.com/owner/name/c0ffee/data/a.csv"
    assert file.published == "https://github.com/owner/name/tree/c0ffee/data"
    assert RemoteFile.at_commit("owner/name", "c0ffee", "a.zip", "b10b", None).published == "https://github.com/owner/name/tree/c0ffee"
