"""A file downloaded once, verified, unpacked, and put in place whole; processes that want the same share one download."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from recseq.data.fetching.download import Patience, download
from recseq.data.fetching.record import Contents, Record, record_path
from recseq.data.fetching.remote_file import RemoteFile, megabytes
from recseq.errors import DataError
from recseq.files import file_digest, write_json

log = logging.getLogger(__name__)

LOCK = ".lock"


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
    if not thorough and (record := fetched(file, folder)) is not None:
        return record
    with locked(folder):
        if not thorough and (record := fetched(file, folder)) is not None:  # another process was faster
            return record
        record = Record.read(file, folder)
        if record is not None and record.is_of(file) and record.is_same(folder):
            contents = {name: Contents.of(folder / name, kept.sha256) for name, kept in record.contents.items()}
            record = replace(record, contents=contents)
        else:
            record = bring(file, folder, record, patience or Patience.from_environment())
        write_json(record_path(file, folder), asdict(record))
        return record


def fetched(file: RemoteFile, folder: Path) -> Record | None:
    """The record of a file that is there and looks as it was when it was fetched; None otherwise."""
    record = Record.read(file, folder)
    return record if record is not None and record.is_of(file) and record.is_intact(folder) else None


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
        sha256, size = file_digest(source, "sha256"), source.stat().st_size
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
    found = file_digest(path, kind)
    return None if found == digest else f"its {kind} is {found}, expected {digest} ({why})"


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
        raise DataError(f"cannot write to {folder}: {error.strerror or error}; set paths.data or RECSEQ_DATA to another folder") from None
    try:
        yield
    finally:
        lock.release()


def without_network(file: RemoteFile, folder: Path) -> str:
    """What to do where the file cannot be fetched."""
    names = " and ".join(file.files)
    return (
        f"Without a network: put the file of {file.url} at {folder / file.name} (it will be verified"
        f"{' and unpacked' if file.unpack else ''}), or set dataset.path to a folder that has {names}"
    )
