"""SASRec's text form: one interaction a line, in each user's order, without times."""

from pathlib import Path
from typing import Literal

import polars as pl

from recseq.data.fetching import RemoteDataset, RemoteFile
from recseq.data.interactions import Dataset, Interactions
from recseq.data.sources.base import SOURCES
from recseq.data.sources.columns import ids
from recseq.data.sources.files import read_fields

COMMIT = "e3738967fddab206d6eeb4fda433e7a7034dd8b1"
REPOSITORY = "kang205/SASRec"
BLOBS = {
    "Beauty": "cee2ab468d220772a9dfefed9aa9c492dc9b3418",
    "Steam": "a0e80e7ae37ef2cf9410daf23c3e28ea6f6c31b7",
    "Video": "f576455c76008a2c02a178c9d4ee930be632af89",
    "ml-1m": "9ab8e3edb8742f8d8cc4911e3dee25e82a6fcc24",
}
"""Git's names of the files at that commit."""


@SOURCES.register("sasrec")
class SASRecText(RemoteDataset):
    """Reads `user item` a line, a user's lines in the order of time (users may be mixed), as SASRec's repository has its data.

    There are no times: each user's interactions get the steps 0, 1, 2, ... (`Interactions.with_steps`), and what compares times of
    different users refuses the data. Use `splitter=last_n` (the paper tests the last item of each user and validates on the one before).

    Files of the repository: `Beauty` and `Video` (Amazon reviews of 2014, games), `Steam`, `ml-1m`; users and items with fewer than five
    interactions are left out. Video has 287,107 rows, 31,013 users and 23,715 items (counted in the file). They are fetched as single
    files at a commit and verified by git's own SHA-1 of them. The repository's licence is Apache-2.0; the data come from Amazon, Steam
    and MovieLens under the terms of those.

    Args:
        subset: Which file of the repository.
        path: A file of this form instead, or a folder with the repository's file; None fetches it.
        data_folder: Where fetched files are kept.

    References:
        Kang, McAuley 2018, "Self-Attentive Sequential Recommendation", ICDM, arXiv:1808.09781; GitHub kang205/SASRec.
    """

    name = "sasrec"
    licence = "Apache-2.0 (the repository's); terms of Amazon, Steam and MovieLens for the data"
    citation = "Kang, McAuley 2018, Self-Attentive Sequential Recommendation, ICDM, arXiv:1808.09781"
    homepage = f"https://github.com/{REPOSITORY}"

    def __init__(self, *, subset: Literal["Beauty", "Steam", "Video", "ml-1m"], path: str | None, data_folder: str | None = None) -> None:
        super().__init__(path=path, data_folder=data_folder)
        self.subset = subset

    def remote_files(self) -> list[RemoteFile]:
        """The one file."""
        return [RemoteFile.at_commit(REPOSITORY, COMMIT, f"data/{self.subset}.txt", BLOBS[self.subset], size=None)]

    def read(self) -> Dataset:
        """Read the file.

        Raises:
            DataError: It is missing, or a line has not two fields; the message names file, line and value.
        """
        (path,) = self.files()
        return Dataset(name=f"sasrec:{path.stem}", interactions=read_pairs(path))


def read_pairs(path: Path) -> Interactions:
    """Interactions of a file with `user item` a line."""
    table = read_fields(path, " ", ["user", "item"])
    frame = pl.DataFrame({"user_id": ids(table, "user"), "item_id": ids(table, "item")})
    return Interactions.with_steps(frame.with_columns(weight=pl.lit(1.0, pl.Float32)))
