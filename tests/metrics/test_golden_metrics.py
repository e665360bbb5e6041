"""Every metric that RecTools has too equals RecTools' on hundreds of random tables (made by tests/golden/make_metrics.py)."""

from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from golden.metric_cases import AGGREGATES, COLUMNS, KS, METRICS, N_CASES, N_WITH_USERS, Case, make

from recseq.data.interactions import ItemFeatures
from recseq.metrics import METRICS as REGISTRY
from recseq.metrics import Catalogue, Evaluation, score

TOLERANCE = 1e-10


@cache
def golden() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).parents[1] / "golden" / "metrics.npz") as arrays:
        return dict(arrays)


def frame(table: list[np.ndarray]) -> pl.DataFrame:
    return pl.DataFrame(dict(zip(["user_id", "item_id", "rank"], table, strict=False)))


def evaluation_of(case: Case) -> Evaluation:
    item, value = case.categories
    features = ItemFeatures.from_long(pl.DataFrame({"item_id": item, "feature": "f", "value": value}))
    catalogue = Catalogue.from_train(frame(case.train), features)
    return Evaluation.of(frame(case.recommendations), frame(case.test), catalogue, {"popular": frame(case.reference)})


@pytest.fixture(scope="module")
def ours() -> list[tuple[dict[str, float], pl.DataFrame]]:
    """Means and values per user of all cases, in golden columns."""
    found = []
    for seed in range(N_CASES):
        case = make(seed)
        assert case.checksum == golden()["checksums"][seed], "the case differs from the one that RecTools saw"
        evaluation = evaluation_of(case)
        means: dict[str, float] = {}
        per_user = {"user_id": evaluation.user_ids}
        for name, (metric, options) in METRICS.items():
            scores = score([REGISTRY.build({"type": metric, **options})], evaluation, KS)
            columns = [f"{name}@{k}" for k in KS]
            means |= zip(columns, scores.means.values(), strict=True)
            if name not in AGGREGATES:
                per_user |= zip(columns, scores.per_user.get_columns()[1:], strict=True)
        found.append((means, pl.DataFrame(per_user).sort("user_id")))
    return found


@pytest.mark.parametrize("name", METRICS)
def test_means(name: str, ours: list[tuple[dict[str, float], pl.DataFrame]]) -> None:
    for k in KS:
        expected = golden()["means"][:, COLUMNS.index(f"{name}@{k}")]
        values = np.array([means[f"{name}@{k}"] for means, _ in ours])
        np.testing.assert_allclose(values, np.nan_to_num(expected), rtol=TOLERANCE, atol=TOLERANCE)  # over nobody: ours is 0
    assert len(np.unique(expected)) > N_CASES / 20


@pytest.mark.parametrize("name", [name for name in METRICS if name not in AGGREGATES])
def test_values_per_user(name: str, ours: list[tuple[dict[str, float], pl.DataFrame]]) -> None:
    for k in KS:
        column = f"{name}@{k}"
        values = np.concatenate([per_user[column].to_numpy() for _, per_user in ours[:N_WITH_USERS]])
        np.testing.assert_allclose(values, golden()["per_user"][:, COLUMNS.index(column)], rtol=TOLERANCE, atol=TOLERANCE)


def test_cases_hold_what_they_are_for() -> None:
    """Missing users, short lists, cold items, repeated test pairs, users that are recommended to but not tested, ranks left out."""
    cases = [make(seed) for seed in range(50)]
    assert any(np.setdiff1d(case.test[0], case.recommendations[0]).size for case in cases)
    assert any(np.setdiff1d(case.recommendations[0], case.test[0]).size for case in cases)
    assert any(np.setdiff1d(case.recommendations[1], case.train[1]).size for case in cases)
    assert any(np.setdiff1d(case.test[1], case.train[1]).size for case in cases)
    assert any(len(np.unique(np.stack(case.test), axis=1).T) < len(case.test[0]) for case in cases)
    assert any(np.count_nonzero(case.recommendations[2] == 1) < len(np.unique(case.recommendations[0])) for case in cases)
    assert all(len(np.unique(np.unique(case.train[1], return_counts=True)[1])) < len(np.unique(case.train[1])) for case in cases)
