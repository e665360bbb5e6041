"""Datasets that are fetched by name: downloaded once, verified, unpacked, kept in a cache folder that all runs share.

The cache is `paths.data`, else the environment variable RECSEQ_DATA, else the user's cache folder of the system. Each dataset has
a folder in it with its files, and beside each file a record (`.<name>.json`) of what came from where and how it was verified.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import pooch
from filelock import FileLock, Timeout

from recseq.data.archives import Gzip, Zip
from recseq.data.download import Patience, download
from recseq.errors import DataError
from recseq.files import write_json

__all__ = ["Gzip", "RemoteDataset", "RemoteFile", "Zip", "data_root", "digest_of", "fetch", "is_fetched"]

log = logging.getLogger(__name__)

DATA_VARIABLE = "RECSEQ_DATA"
LOCK = ".lock"


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file to fetch.

    Args:
        name: Its name in the dataset's folder.
        url: Where it is.
        digest: What it must be: `md5:<hex>`, `sha256:<hex>` or `git-blob-sha1:<hex>`; None where none is published: the SHA-256 of
            what comes first is then recorded, and every later file must have it.
        published: Page that the digest was published on; None with digest None.
        size: Bytes, about; None where unknown.
        unpack: How it is unpacked; None for a file that is read as it is.
    """

    name: str
    url: str
    digest: str | None
    published: str | None
    size: int | None
    unpack: Zip | Gzip | None

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files to read, in the dataset's folder."""
        return (self.name,) if self.unpack is None else self.unpack.files


@dataclass(frozen=True, kw_only=True)
class Contents:
    """A file as it was when it was written; size and time tell in a moment that it is still the same."""

    size: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path, sha256: str | None = None) -> "Contents":
        """The contents of a file, hashed unless that is given."""
        status = path.stat()
        return cls(size=status.st_size, mtime_ns=status.st_mtime_ns, sha256=sha256 or digest_of(path, "sha256"))

    def looks_like(self, path: Path) -> bool:
        """Whether the file has size and time of these contents."""
        try:
            status = path.stat()
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (self.size, self.mtime_ns)


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of a fetched file.

    Args:
        url: Where it came from.
        fetched: When, UTC.
        digest: The published digest that it has; None for an unverified one.
        sha256: Its own SHA-256.
        size: Its bytes.
        contents: The files to read by name.
    """

    url: str
    fetched: str
    digest: str | None
    sha256: str
    size: int
    contents: dict[str, Contents]

    @classmethod
    def read(cls, path: Path) -> "Record | None":
        """The record of a file; None where there is none."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            contents = {name: Contents(**inner) for name, inner in found.pop("contents").items()}
            return cls(contents=contents, **found)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise DataError(f"{path} is no record of a fetched file; remove it and fetch again") from None


class RemoteDataset:
    """Base of sources whose files can be fetched.

    A source calls this constructor, says what it is made of in `remote_files`, and reads from `folder()`.

    Args:
        path: The user's own folder with the files, unpacked; None fetches them. Where the dataset is one file, also that file.
        data_folder: The cache (`paths.data`); None goes by RECSEQ_DATA, then the system.
    """

    name: str
    """Name of the dataset and of its folder in the cache."""
    licence: str
    """Licence in short, with its conditions."""
    citation: str
    """What a publication has to cite."""
    homepage: str
    """Page about the dataset."""

    def __init__(self, *, path: str | None, data_folder: str | None = None) -> None:
        self.path = None if path is None else Path(path).expanduser()
        self.data_folder = data_folder

    def remote_files(self) -> list[RemoteFile]:
        """The files to fetch."""
        raise NotImplementedError

    @property
    def needed(self) -> list[str]:
        """Names of the files to read."""
        return [name for file in self.remote_files() for name in file.files]

    @property
    def cache(self) -> Path:
        """The dataset's folder in the cache, there or not."""
        return data_root(self.data_folder) / self.name

    def folder(self) -> Path:
        """The folder with all files to read: the user's, or the cache's after fetching what it lacks.

        Raises:
            DataError: The user's folder lacks a file, or fetching failed.
        """
        if self.path is not None:
            return given_folder(self.path, self.remote_files())
        for file in self.remote_files():
            fetch(file, self.cache)
        return self.cache

    def files(self) -> list[Path]:
        """The files to read, in the order of `remote_files`; `path` may be the file itself where there is only one.

        Raises:
            DataError: As `folder`.
        """
        if self.path is not None and self.path.is_file() and len(self.needed) == 1:
            return [self.path]
        folder = self.folder()
        return [folder / name for name in self.needed]

    def unverified(self) -> list[str]:
        """What has to be said of fetched files without a published digest, for the notes of a dataset."""
        if self.path is not None:
            return []
        records = [(file.name, Record.read(record_path(file, self.cache))) for file in self.remote_files() if file.digest is None]
        return [
            f"{name} is unverified, no digest is published: SHA-256 {record.sha256} since {record.fetched}"
            for name, record in records
            if record is not None
        ]


def data_root(option: str | None) -> Path:
    """The cache folder: the option, else RECSEQ_DATA, else the user's cache folder of the system."""
    return Path(option or os.environ.get(DATA_VARIABLE) or pooch.os_cache("recseq")).expanduser().absolute()


def given_folder(path: Path, files: list[RemoteFile]) -> Path:
    """The user's folder, or the one inside it that the archive would make, if all files are there.

    Raises:
        DataError: A file is missing.
    """
    names = [name for file in files for name in file.files]
    inner = {str(Path(inside).parent) for file in files if isinstance(file.unpack, Zip) for inside in file.unpack.members}
    for folder in (path, *(path / name for name in sorted(inner - {"."}))):
        if all((folder / name).is_file() for name in names):
            return folder
    missing = [name for name in names if not (path / name).is_file()]
    raise DataError(
        f"dataset.path is {str(path)!r}, which lacks {' and '.join(missing)}; it must be a folder with {' and '.join(names)}, "
        "or null to have them fetched"
    )


def fetch(file: RemoteFile, folder: Path, *, thorough: bool = False, patience: Patience | None = None) -> Record:
    """Have a file and what it unpacks to in a dataset's folder: at once if it is there, else downloaded, verified, unpacked.

    Processes that fetch the same dataset wait for each other and share one download. Nothing is put in place before all of it is
    verified and unpacked. An archive that somebody put into the folder by hand is taken if its digest is right.

    Args:
        file: The file.
        folder: The dataset's folder.
        thorough: Hash what is there instead of trusting sizes and times.
        patience: How long to wait for the server; None goes by the environment.

    Returns:
        What is known of the file.

    Raises:
        DataError: It could not be had; the message says why and what to do without a network.
    """
    record = Record.read(record_path(file, folder))
    if record is not None and not thorough and is_intact(file, folder, record):
        return record
    with locked(folder):
        record = Record.read(record_path(file, folder))  # another process may have fetched it meanwhile
        if record is not None and is_intact(file, folder, record) and not thorough:
            return record
        if record is not None and is_same(file, folder, record):
            contents = {name: Contents.of(folder / name, kept.sha256) for name, kept in record.contents.items()}
            record = Record(**{**vars(record), "contents": contents})
        else:
            record = bring(file, folder, record, patience or Patience.from_environment())
        write_json(record_path(file, folder), asdict(record))
        return record


def is_fetched(file: RemoteFile, folder: Path) -> bool:
    """Whether the file is there and looks as it was when it was fetched."""
    record = Record.read(record_path(file, folder))
    return record is not None and is_intact(file, folder, record)


def bring(file: RemoteFile, folder: Path, before: Record | None, patience: Patience) -> Record:
    """Download (or take the archive that is there), verify, unpack, put in place; the lock is held."""
    target = folder / file.name
    aside = folder / f".{file.name}.partial"  # one process at a time; what a killed one left is overwritten
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        arrived = aside / file.name
        wrong = wrong_digest(target, file, before) if target.is_file() else None
        if target.is_file() and wrong is None:
            source = target
        else:
            if wrong is not None:
                log.warning("%s is another file than it should be, %s; fetching it anew", target, wrong)
            log.info("fetching %s%s", file.url, f", about {megabytes(file.size)}" if file.size else "")
            download(file.url, arrived, patience)
            wrong = wrong_digest(arrived, file, before)
            if wrong is not None:
                raise DataError(f"what came is not the file: {wrong}")
            source = arrived
        if file.unpack is None:
            unpacked = {}
        else:
            (aside / "contents").mkdir()
            unpacked = file.unpack.unpack(source, aside / "contents")
        sha256, size = digest_of(source, "sha256"), source.stat().st_size
        for name in unpacked:
            (aside / "contents" / name).replace(folder / name)
        if source is arrived:
            arrived.replace(target)
        return Record(
            url=file.url,
            fetched=datetime.now(UTC).isoformat(timespec="seconds"),
            digest=file.digest,
            sha256=sha256,
            size=size,
            contents={name: Contents.of(folder / name, digest) for name, digest in (unpacked or {file.name: sha256}).items()},
        )
    except DataError as error:
        raise DataError(f"cannot fetch {file.name}: {error}.\n{without_network(file, folder)}") from None
    except OSError as error:
        raise DataError(f"cannot fetch {file.name} into {folder}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def wrong_digest(path: Path, file: RemoteFile, before: Record | None) -> str | None:
    """How a file differs from what it must be; None where it does not."""
    if file.digest is not None:
        expected, why = file.digest, f"published at {file.published}"
    elif before is not None and before.url == file.url:
        expected = f"sha256:{before.sha256}"
        why = f"recorded on first use, {before.fetched}; remove {record_path(file, path.parent).name} to accept another"
    else:
        return None
    kind, _, digest = expected.partition(":")
    found = digest_of(path, kind)
    return None if found == digest else f"its {kind} is {found}, expected {digest} ({why})"


def digest_of(path: Path, kind: str) -> str:
    """Hexadecimal digest of a file: `md5`, `sha256`, or `git-blob-sha1`, which is what git calls the file by."""
    if kind == "git-blob-sha1":
        digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    elif kind == "md5":
        digest = hashlib.md5(usedforsecurity=False)
    elif kind == "sha256":
        digest = hashlib.sha256()
    else:
        raise ValueError(f"digest {kind!r} is none of md5, sha256, git-blob-sha1")
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def is_intact(file: RemoteFile, folder: Path, record: Record) -> bool:
    """Whether the record is of this file and all files to read look as they did."""
    return (
        (record.url, record.digest) == (file.url, file.digest)
        and set(record.contents) == set(file.files)
        and all(contents.looks_like(folder / name) for name, contents in record.contents.items())
    )


def is_same(file: RemoteFile, folder: Path, record: Record) -> bool:
    """Whether the record is of this file and all files to read are the same, byte by byte."""
    return (
        (record.url, record.digest) == (file.url, file.digest)
        and set(record.contents) == set(file.files)
        and all(
            (folder / name).is_file() and digest_of(folder / name, "sha256") == contents.sha256
            for name, contents in record.contents.items()
        )
    )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a dataset's folder, which is made where it is missing.

    Raises:
        DataError: The folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("another process fetches into %s; waiting for it", folder)
            lock.acquire()
    except OSError as error:
        raise DataError(
            f"cannot write to {folder}: {error.strerror or error}; set paths.data or {DATA_VARIABLE} to another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()


def record_path(file: RemoteFile, folder: Path) -> Path:
    """Where the record of a file is."""
    return folder / f".{file.name}.json"


def without_network(file: RemoteFile, folder: Path) -> str:
    """What to do where the file cannot be fetched."""
    names = " and ".join(file.files)
    return (
        f"Without a network: put the file of {file.url} at {folder / file.name} (it will be verified"
        f"{' and unpacked' if file.unpack else ''}), or set dataset.path to a folder that has {names}"
    )


def megabytes(size: int) -> str:
    """A number of bytes for people, in units of 1000."""
    for unit, bytes_ in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= bytes_:
            return f"{size / bytes_:.3g} {unit}"
    return f"{size} bytes"
