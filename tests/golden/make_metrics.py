"""Make `metrics.npz`: RecTools' values of every metric that recseq has too, on the random tables of `metric_cases`.

Runs in the *RecTools* virtual environment (`rectools[torch]==0.19.0`), never in recseq's:

    <rectools venv>/bin/python tests/golden/make_metrics.py

Keys: `checksums` (cases,); `means` (cases, columns), NaN where RecTools averages over nobody; `per_user` (users of the first cases one
after the other, columns), NaN where the metric is not defined for a user. Columns are `metric_cases.COLUMNS`. RecTools counts repeated
test pairs more than once, so it is given each once.
"""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from metric_cases import AGGREGATES, COLUMNS, KS, METRICS, N_CASES, N_WITH_USERS, REF_K, Case, make
from rectools import Columns
from rectools.metrics import (
    MAP,
    MRR,
    NDCG,
    AvgRecPopularity,
    CatalogCoverage,
    CoveredUsers,
    HitRate,
    Intersection,
    IntraListDiversity,
    MeanInvUserFreq,
    PairwiseHammingDistanceCalculator,
    Precision,
    Recall,
    Serendipity,
)


def frame(table: list[np.ndarray]) -> pd.DataFrame:
    return pd.DataFrame(dict(zip([Columns.User, Columns.Item, Columns.Rank], table)))  # noqa: B905 (two or three columns)


def category_table(case: Case) -> pd.DataFrame:
    """One row an item that has categories, one 0/1 column a category."""
    item, value = case.categories
    return pd.crosstab(item, value).clip(upper=1)


def metrics_of(case: Case, k: int) -> dict[str, tuple[object, tuple[object, ...]]]:
    """RecTools' metrics by golden column, each with what it is computed from besides the recommendations."""
    test, train, reference = frame(case.test).drop_duplicates(), frame(case.train), frame(case.reference)
    catalog = train[Columns.Item].unique()
    hamming = PairwiseHammingDistanceCalculator(category_table(case))
    return {
        "HitRate": (HitRate(k=k), (test,)),
        "Precision": (Precision(k=k), (test,)),
        "RPrecision": (Precision(k=k, r_precision=True), (test,)),
        "Recall": (Recall(k=k), (test,)),
        "MAP": (MAP(k=k), (test,)),
        "MAP_by_k": (MAP(k=k, divide_by_k=True), (test,)),
        "NDCG": (NDCG(k=k, divide_by_achievable=True), (test,)),
        "NDCG_ideal_k": (NDCG(k=k), (test,)),
        "MRR": (MRR(k=k), (test,)),
        "Serendipity": (Serendipity(k=k), (test, train, catalog)),
        "Novelty": (MeanInvUserFreq(k=k), (train,)),
        "AvgRecPopularity": (AvgRecPopularity(k=k), (train,)),
        "AvgRecPopularity_normalised": (AvgRecPopularity(k=k, normalize=True), (train,)),
        "CoveredUsers": (CoveredUsers(k=k), (test,)),
        "Intersection": (Intersection(k=k), (reference,)),
        "Intersection_ref_k": (Intersection(k=k, ref_k=REF_K), (reference,)),
        "IntraListDiversity": (IntraListDiversity(k=k, distance_calculator=hamming), ()),
        "CatalogCoverage": (CatalogCoverage(k=k, normalize=True), (catalog,)),
    }


def main() -> None:
    warnings.filterwarnings("ignore")
    checksums, means, per_user = [], [], []
    for seed in range(N_CASES):
        case = make(seed)
        recommendations, users = frame(case.recommendations), case.users
        mean, values = {}, {}
        for k in KS:
            for name, (metric, given) in metrics_of(case, k).items():
                mean[f"{name}@{k}"] = metric.calc(recommendations, *given)  # type: ignore[attr-defined]
                if seed < N_WITH_USERS and name not in AGGREGATES:
                    values[f"{name}@{k}"] = metric.calc_per_user(recommendations, *given).reindex(users).to_numpy()  # type: ignore[attr-defined]
        assert set(mean) == set(COLUMNS)
        checksums.append(case.checksum)
        means.append([mean[column] for column in COLUMNS])
        if values:
            nothing = np.full(len(users), np.nan)
            per_user.append(np.stack([values.get(column, nothing) for column in COLUMNS], axis=1))
    arrays = {"checksums": np.array(checksums), "means": np.array(means, dtype=np.float64), "per_user": np.concatenate(per_user)}
    np.savez_compressed(Path(__file__).parent / "metrics.npz", **arrays)
    print({name: array.shape for name, array in arrays.items()}, f"{len(METRICS)} metrics")


if __name__ == "__main__":
    main()
