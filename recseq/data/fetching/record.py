"""What is kept beside a fetched file: where it came from, how it was verified, and what it was then."""

import json
from dataclasses import dataclass
from pathlib import Path

from recseq.data.fetching.remote_file import RemoteFile
from recseq.errors import DataError
from recseq.files import file_digest


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
        return cls(size=status.st_size, mtime_ns=status.st_mtime_ns, sha256=sha256 or file_digest(path, "sha256"))

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
    def read(cls, file: RemoteFile, folder: Path) -> "Record | None":
        """The record of a file; None where there is none.

        Raises:
            DataError: It is broken.
        """
        path = record_path(file, folder)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            contents = {name: Contents(**inner) for name, inner in found.pop("contents").items()}
            return cls(contents=contents, **found)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise DataError(f"{path} is no record of a fetched file; remove it and fetch again") from None

    def is_of(self, file: RemoteFile) -> bool:
        """Whether this is the record of a file as it is asked for now."""
        return (self.url, self.digest) == (file.url, file.digest) and set(self.contents) == set(file.files)

    def is_intact(self, folder: Path) -> bool:
        """Whether all files to read look as they did: a glance at sizes and times."""
        return all(contents.looks_like(folder / name) for name, contents in self.contents.items())

    def is_same(self, folder: Path) -> bool:
        """Whether all files to read are the same, byte by byte."""
        return all(
            (folder / name).is_file() and file_digest(folder / name, "sha256") == contents.sha256
            for name, contents in self.contents.items()
        )


def record_path(file: RemoteFile, folder: Path) -> Path:
    """Where the record of a file is."""
    return folder / f".{file.name}.json"
