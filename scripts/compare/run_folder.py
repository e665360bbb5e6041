"""Score the lists of a run folder with RecTools' own metrics and print how far `metrics.csv` is from them.

Runs in the *RecTools* virtual environment (`rectools[torch]==0.19.0`) and imports nothing of recseq:

    <rectools venv>/bin/python scripts/compare/run_folder.py outputs/runs/<date>/<time> DATA

DATA is a folder with MovieTweetings' `ratings.dat`; or a CSV or Parquet file with the columns user_id, item_id, datetime; or the folder
that `scripts/compare/export_interactions.py`, run with recseq's Python, has written for a run of any dataset:

    .venv/bin/python scripts/compare/export_interactions.py outputs/runs/<date>/<time> EXPORT
    <rectools venv>/bin/python scripts/compare/run_folder.py outputs/runs/<date>/<time> EXPORT

The folds come from RecTools' `TimeRangeSplitter` with the options of the run's `config.yaml`; their test pairs must be those of
`fold_<i>/test.parquet`. Every model in `fold_<i>/recommendations.parquet` is scored against the distinct test pairs (recseq counts a
repeated pair once). Metrics that RecTools does not have are named and left out; IntraListDiversity is compared when its distance is
`hamming` and the data comes from an export. Exit status 1 when a metric is off by more than `--tolerance`, relative to values above 1.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from rectools import Columns, metrics
from rectools.dataset import Interactions
from rectools.model_selection import TimeRangeSplitter

Config = dict[str, Any]
PAIR = [Columns.User, Columns.Item]


def read_interactions(data: Path) -> pd.DataFrame:
    """Interactions in the order of the file."""
    if (data / "ratings.dat").exists():
        columns = [Columns.User, Columns.Item, "rating", "seconds"]
        types = {Columns.User: int, Columns.Item: str}  # movie ids begin with zeros
        raw = pd.read_csv(data / "ratings.dat", sep="::", engine="python", header=None, names=columns, dtype=types)
        return raw[PAIR].assign(**{Columns.Datetime: pd.to_datetime(raw["seconds"], unit="s")})
    file = data / "interactions.parquet" if data.is_dir() else data
    if not file.exists():
        raise SystemExit(f"{data} is neither a file nor a folder with ratings.dat or interactions.parquet")
    raw = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file, parse_dates=["datetime"])
    return raw[["user_id", "item_id", "datetime"]].set_axis([*PAIR, Columns.Datetime], axis=1)


def folds(interactions: pd.DataFrame, splitter: Config) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Train rows and distinct test pairs of each fold, as RecTools splits."""
    if splitter["type"] != "time_range":
        raise SystemExit(f"the run's splitter is {splitter['type']}; RecTools has the like of time_range only")
    codes = interactions.assign(**{column: pd.factorize(interactions[column])[0] for column in PAIR}, **{Columns.Weight: 1.0})
    filters = {name: splitter[name] for name in ("filter_cold_users", "filter_cold_items", "filter_already_seen")}
    for train, test, _ in TimeRangeSplitter(splitter["test_size"], n_splits=splitter["n_splits"], **filters).split(Interactions(codes)):
        yield interactions.iloc[train][PAIR], interactions.iloc[test][PAIR].drop_duplicates()


def hamming(data: Path, feature: str | None) -> metrics.PairwiseHammingDistanceCalculator | None:
    """Distances between items by the exported categories; None without an export."""
    file = data / "item_categories.parquet"
    if not data.is_dir() or not file.exists():
        return None
    table = pd.read_parquet(file)
    table = table if feature is None else table[table["feature"] == feature]
    return metrics.PairwiseHammingDistanceCalculator(pd.crosstab(table["item_id"], [table["feature"], table["value"]]).clip(upper=1))


def rectools_metrics(config: Config, data: Path) -> dict[str, Any]:
    """RecTools' metrics by the names of recseq's columns, without the names of reference models."""
    options, cutoffs = config["include"], config["k"] if isinstance(config["k"], list) else [config["k"]]
    same = {
        "HitRate": lambda k: metrics.HitRate(k=k),
        "Precision": lambda k: metrics.Precision(k=k, r_precision=options["Precision"]["r_precision"]),
        "Recall": lambda k: metrics.Recall(k=k),
        "MAP": lambda k: metrics.MAP(k=k, divide_by_k=options["MAP"]["divide_by_k"]),
        "NDCG": lambda k: metrics.NDCG(k=k, divide_by_achievable=options["NDCG"]["ideal"] == "achievable"),
        "MRR": lambda k: metrics.MRR(k=k),
        "Serendipity": lambda k: metrics.Serendipity(k=k),
        "Novelty": lambda k: metrics.MeanInvUserFreq(k=k),
        "AvgRecPopularity": lambda k: metrics.AvgRecPopularity(k=k, normalize=options["AvgRecPopularity"].get("normalize", False)),
        "CoveredUsers": lambda k: metrics.CoveredUsers(k=k),
        "Intersection": lambda k: metrics.Intersection(k=k, ref_k=config["ref_k"]),
        "CatalogCoverage": lambda k: metrics.CatalogCoverage(k=k, normalize=True),
    }
    diversity = options.get("IntraListDiversity", {})
    if diversity.get("distance") == "hamming" and (calculator := hamming(data, diversity["feature"])) is not None:
        same["IntraListDiversity"] = lambda k: metrics.IntraListDiversity(k=k, distance_calculator=calculator)
    left_out = [name for name in options if name not in same]
    if left_out:
        print(f"Not compared, RecTools has none: {', '.join(left_out)}")
    return {f"{name}@{k}": same[name](k) for name in options if name in same for k in cutoffs}


def compare_fold(folder: Path, train: pd.DataFrame, test: pd.DataFrame, references: list[str], chosen: dict[str, Any]) -> pd.DataFrame:
    """RecTools' value of every metric of every model of a fold: columns model, metric, theirs."""
    ours = pd.read_parquet(folder / "test.parquet").set_axis(PAIR, axis=1)
    if len(ours) != len(test) or len(ours.merge(test)) != len(test):
        raise SystemExit(f"{folder.name}: recseq tested {len(ours):,} distinct pairs, RecTools' splitter gives {len(test):,} others")
    columns = {"user_id": Columns.User, "item_id": Columns.Item, "rank": Columns.Rank}
    lists = pd.read_parquet(folder / "recommendations.parquet").rename(columns=columns).astype({Columns.Rank: "int64"})
    models = {name: rows.drop(columns="model") for name, rows in lists.groupby("model", sort=False)}
    found = []
    for name, rows in models.items():
        values = metrics.calc_metrics(
            chosen,
            reco=rows,
            interactions=test,
            prev_interactions=train,
            catalog=train[Columns.Item].unique(),
            ref_reco={reference: models[reference] for reference in references if reference in models} or None,
        )
        found += [{"model": name, "metric": metric, "theirs": value} for metric, value in values.items()]
    print(f"{folder.name}: {len(train):,} train rows, {len(test):,} test pairs, models {', '.join(map(str, models))}")
    return pd.DataFrame(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_folder", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--tolerance", type=float, default=1e-9)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    config = yaml.safe_load((options.run_folder / "config.yaml").read_text(encoding="utf-8"))
    references = config["reference_models"]
    chosen = rectools_metrics(config["metrics"], options.data)
    if not references:
        chosen = {name: metric for name, metric in chosen.items() if not name.startswith("Intersection")}
    parts = []
    for i, (train, test) in enumerate(folds(read_interactions(options.data), config["splitter"])):
        parts.append(compare_fold(options.run_folder / f"fold_{i}", train, test, references, chosen).assign(fold=i))
    theirs = pd.concat(parts)
    ours = pd.read_csv(options.run_folder / "metrics.csv").melt(["model", "fold"], var_name="metric", value_name="ours")
    both = theirs.merge(ours, how="left", on=["model", "fold", "metric"])
    both["difference"] = (both["theirs"].astype(float) - both["ours"].astype(float)).abs()
    both["relative"] = both["difference"] / both["theirs"].abs().clip(lower=1)
    table = both.groupby("metric", sort=False).agg(
        largest_difference=("difference", "max"), relative=("relative", "max"), n=("ours", "count")
    )
    print(table.to_string(float_format=lambda value: f"{value:.1e}"))
    worst = both.loc[both["difference"].idxmax()]
    print(
        f"Largest difference of {len(both):,} values ({both['fold'].nunique()} folds, {both['model'].nunique()} models): "
        f"{worst['difference']:.1e}, {worst['metric']} of {worst['model']} in fold {worst['fold']} ({worst['theirs']:.6g})"
    )
    if both["ours"].isna().any() or (both["relative"] > options.tolerance).any():
        sys.exit(f"metrics.csv lacks a metric or differs from RecTools by more than {options.tolerance:g}")


if __name__ == "__main__":
    main()
