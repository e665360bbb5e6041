"""Base of the sources whose files are fetched, and where they are kept."""

import os
from abc import ABC, abstractmethod
from pathlib import Path

import pooch

from recseq.data.fetching.archives import Zip
from recseq.data.fetching.cache import fetch
from recseq.data.fetching.record import Record
from recseq.data.fetching.remote_file import RemoteFile
from recseq.errors import DataError

DATA_VARIABLE = "RECSEQ_DATA"


class RemoteDataset(ABC):
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

    @abstractmethod
    def remote_files(self) -> list[RemoteFile]:
        """The files to fetch."""

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
        records = [(file.name, Record.read(file, self.cache)) for file in self.remote_files() if file.digest is None]
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
