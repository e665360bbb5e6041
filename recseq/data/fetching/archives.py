"""Archives unpacked so that nothing in them can do harm: no path leaves the folder, no link, no bomb."""

import gzip
import hashlib
import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from recseq.errors import DataError

CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Zip:
    """Members of a zip file to take; the others stay in it.

    Args:
        members: Path inside the archive -> name in the dataset's folder.
        max_bytes: Most bytes that the taken members may have unpacked, together.
        max_members: Most members that the archive may list.
    """

    members: Mapping[str, str]
    max_bytes: int
    max_members: int = 1000

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the unpacked files."""
        return tuple(self.members.values())

    def unpack(self, archive: Path, folder: Path) -> dict[str, str]:
        """Write the members into a folder.

        Returns:
            SHA-256 of each file by name.

        Raises:
            DataError: The archive is broken or encrypted, lacks a member, or holds what no honest archive of data holds: paths that
                leave the folder, links, more members or bytes than allowed.
        """
        try:
            with zipfile.ZipFile(archive) as opened:
                listed = opened.infolist()
                if len(listed) > self.max_members:
                    raise DataError(f"{archive.name} lists {len(listed):,} members, more than the {self.max_members:,} it may have")
                for member in listed:
                    refuse_unsafe(archive.name, member)
                names = [member.filename for member in listed]
                missing = [name for name in self.members if names.count(name) != 1]
                if missing:
                    found = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
                    raise DataError(f"{archive.name} has not exactly one member {missing[0]!r}; it has {found or 'none'}")
                budget = Budget(archive.name, self.max_bytes)
                digests = {}
                for inside, name in self.members.items():
                    if opened.getinfo(inside).flag_bits & 0x1:
                        raise DataError(f"{archive.name}: member {inside!r} is encrypted")
                    with opened.open(inside) as source:
                        digests[name] = budget.copy(source, folder / name)
                return digests
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError) as error:
            raise DataError(f"{archive.name} is no sound zip file: {error}") from None


@dataclass(frozen=True, kw_only=True)
class Gzip:
    """The one file that a gzip file holds.

    Args:
        name: Its name in the dataset's folder.
        max_bytes: Most bytes that it may have unpacked.
    """

    name: str
    max_bytes: int

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the unpacked files."""
        return (self.name,)

    def unpack(self, archive: Path, folder: Path) -> dict[str, str]:
        """Write the file into a folder.

        Returns:
            Its SHA-256 by its name.

        Raises:
            DataError: The archive is broken or unpacks to more bytes than allowed.
        """
        try:
            with gzip.open(archive, "rb") as source:
                return {self.name: Budget(archive.name, self.max_bytes).copy(source, folder / self.name)}
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise DataError(f"{archive.name} is no sound gzip file: {error}") from None


class Budget:
    """Bytes that may still be written; what an archive says of its own sizes is not believed.

    Args:
        archive: Name for messages.
        max_bytes: Bytes at the start.
    """

    def __init__(self, archive: str, max_bytes: int) -> None:
        self.archive = archive
        self.max_bytes = max_bytes
        self.left = max_bytes

    def copy(self, source: IO[bytes] | gzip.GzipFile, target: Path) -> str:
        """Copy a stream to a file and return its SHA-256.

        Raises:
            DataError: The budget is used up.
        """
        digest = hashlib.sha256()
        with target.open("wb") as file:
            while chunk := source.read(CHUNK):
                self.left -= len(chunk)
                if self.left < 0:
                    raise DataError(f"{self.archive} unpacks to more than the {self.max_bytes:,} bytes it may have")
                digest.update(chunk)
                file.write(chunk)
        return digest.hexdigest()


def refuse_unsafe(archive: str, member: zipfile.ZipInfo) -> None:
    """Refuse a member whose path leaves the folder, and links, devices and the like.

    Raises:
        DataError: It is one.
    """
    # zipfile hides what follows a NUL and turns the system's separator round; the name as written counts.
    name = member.orig_filename
    paths = (PurePosixPath(name), PureWindowsPath(name))
    if "\0" in name or any(path.is_absolute() or path.drive or path.root or ".." in path.parts for path in paths):
        raise DataError(f"{archive} has the member {name!r}, whose path leaves the folder; nothing of it is used")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DataError(f"{archive} has the member {name!r}, which is a link or a special file; nothing of it is used")
