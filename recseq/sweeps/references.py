"""Recommendations of reference models, shared between the jobs of a sweep: the same model on the same fold is fitted once."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl

from recseq.files import write_json, written_aside

Result = tuple[pl.DataFrame, dict[str, float]]


class SharedReferences:
    """A folder of finished results by identity; jobs that compute the same one at once both write the same file.

    Args:
        folder: Of the sweep; None shares nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = None if folder is None else folder / "references"

    def get(self, identity: str, compute: Callable[[], Result]) -> Result:
        """The recommendations and seconds under an identity, computed when no job has done so.

        Args:
            identity: Hash of all that decides the result: data, split, fold, config and seed of the model, length of lists.
            compute: Fits and recommends.
        """
        if self.folder is None:
            return compute()
        path = self.folder / f"{identity}.parquet"
        if path.exists():
            return pl.read_parquet(path), json.loads(path.with_suffix(".json").read_text())
        recommendations, seconds = compute()
        write_json(path.with_suffix(".json"), seconds)
        with written_aside(path) as aside:  # last: a table that is there is complete
            recommendations.write_parquet(aside)
        return recommendations, seconds
