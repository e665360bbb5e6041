"""What a file to fetch is: where, with which digest, how unpacked."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from recseq.data.fetching.archives import Gzip, Zip


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

    @classmethod
    def at_commit(
        cls, repository: str, commit: str, path: str, blob: str, size: int | None, unpack: Zip | Gzip | None = None
    ) -> "RemoteFile":
        """A file of a repository on GitHub at a commit, whose files do not change.

        Args:
            repository: `owner/name`.
            commit: Its full hash.
            path: The file's path in the repository.
            blob: Git's name of the file in the tree of that commit, which is a digest of its bytes.
            size: Bytes.
            unpack: How it is unpacked.
        """
        return cls(
            name=PurePosixPath(path).name,
            url=f"https://raw.githubusercontent.com/{repository}/{commit}/{path}",
            digest=f"git-blob-sha1:{blob}",
            published=f"https://github.com/{repository}/tree/{commit}/{PurePosixPath(path).parent}".removesuffix("/."),
            size=size,
            unpack=unpack,
        )

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files to read, in the dataset's folder."""
        return (self.name,) if self.unpack is None else self.unpack.files


def megabytes(size: int) -> str:
    """A number of bytes for people, in units of 1000."""
    for unit, bytes_ in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= bytes_:
            return f"{size / bytes_:.3g} {unit}"
    return f"{size} bytes"
