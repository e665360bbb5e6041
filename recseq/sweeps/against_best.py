"""Whether the best job of a sweep is better than each other, user by user."""

import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from recseq.metrics.significance import SignificanceOptions, compare_models


def against_best(jobs: Mapping[int, Path], best: int, column: str, options: SignificanceOptions, seed: int) -> dict[int, str]:
    """What the leaderboard says of each job beside the best.

    Args:
        jobs: Folders of finished jobs by number.
        best: Number of one of them.
        column: The metric that they are ranked by.
        options: Of the test.
        seed: Of the resampling.

    Returns:
        By job: `differs, p 0.003` where the difference is significant (Holm's correction over the jobs), else `same, p 0.41`. Jobs that
        were tested on other folds or data, or whose metric has no value for each user, are left out.
    """
    splits = {job: _split(folder) for job, folder in jobs.items()}
    tables = [_per_user(job, jobs[job], column) for job in jobs if splits[job] == splits[best]]
    per_user = pl.concat([table for table in tables if table is not None]) if any(table is not None for table in tables) else None
    if per_user is None or str(best) not in per_user["model"]:
        return {}
    others = [name for name in per_user["model"].unique(maintain_order=True).to_list() if name != str(best)]
    if not others:
        return {}
    found = {}
    for row in compare_models(per_user, str(best), others, [column], options, seed).iter_rows(named=True):
        if row["p_holm"] is not None:
            found[int(row["other"])] = f"{'differs' if row['significant'] else 'same'}, p {row['p_holm']:.2g}"
    return found


def _split(folder: Path) -> str:
    return str(json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["recseq.split_hash"])


def _per_user(job: int, folder: Path, column: str) -> pl.DataFrame | None:
    model = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["model"]
    parts = []
    for fold in sorted(folder.glob("fold_*"), key=lambda path: int(path.name.removeprefix("fold_"))):
        table = pl.read_parquet(fold / "per_user.parquet")
        if column not in table.columns:
            return None
        own = table.filter(pl.col("model") == model)
        index = pl.lit(int(fold.name.removeprefix("fold_")), pl.Int64).alias("fold")
        parts.append(own.select(pl.lit(str(job)).alias("model"), index, "user_id", pl.col(column).cast(pl.Float64)))
    return pl.concat(parts) if parts else None
