"""Means and spreads of the rows of `metrics.csv`: over folds, and over runs that differ in their seed only."""

import statistics
from collections.abc import Sequence

import polars as pl

Summary = dict[str, dict[str, dict[str, float]]]


def is_measure(column: str) -> bool:
    """Whether a column of `metrics.csv` holds a measured number: a metric or seconds."""
    return "@" in column or column.endswith("_seconds")


def summarise(table: pl.DataFrame) -> Summary:
    """Mean, standard deviation (n - 1; absent for one value) and n over the rows of each model, of each metric."""
    summary: Summary = {}
    for (name,), rows in table.group_by("model", maintain_order=True):
        summary[str(name)] = {}
        for column in rows.columns:
            if is_measure(column):
                values = rows[column].drop_nulls()
                found = {"mean": float(values.mean() or 0.0), "n": values.len()}  # type: ignore[arg-type]
                if values.len() > 1:
                    found["std"] = float(values.std() or 0.0)  # type: ignore[arg-type]
                summary[str(name)][column] = found
    return summary


def over_seeds(tables: Sequence[pl.DataFrame]) -> Summary:
    """Mean and spread over several runs that differ in their seed only.

    Args:
        tables: The `metrics.csv` of each run; a metric that some of them lack is summed up over the others.

    Returns:
        By model and metric: `mean`, `std` and `n` over all values, one a seed and fold (as `summarise`, so `std` mixes what folds and what
        seeds differ by); `n_seeds`; and `seed_std`, the standard deviation over seeds of the mean over folds (n - 1; absent for one
        seed): what another training of the same model on the same data changes. It is 0 for a model that no seed enters.

    Raises:
        ValueError: Two rows of one model, fold and seed: those runs differ in something else, or one is there twice.
    """
    rows = pl.concat(tables, how="diagonal_relaxed")
    repeated = rows.filter(rows.select("model", "fold", "seed").is_duplicated())
    if not repeated.is_empty():
        model, fold, seed = repeated.select("model", "fold", "seed").row(0)
        raise ValueError(f"two rows of model {model}, fold {fold}, seed {seed}: the runs must differ in their seed and in nothing else")
    summary = summarise(rows)
    each = [summarise(run) for _, run in sorted(rows.partition_by("seed", as_dict=True).items())]
    for model, metrics in summary.items():
        for metric, found in metrics.items():
            measured = [run[model][metric] for run in each if model in run and metric in run[model]]
            means = [values["mean"] for values in measured if values["n"]]
            found["n_seeds"] = len(means)
            if len(means) > 1:
                found["seed_std"] = statistics.stdev(means)
    return summary
