"""Means and spreads over folds and seeds, by hand."""

import statistics

import polars as pl
import pytest

from recseq.metrics.summary import over_seeds, summarise


def rows(seed: int, values: list[float | None], model: str = "sasrec", metric: str = "MAP@10") -> pl.DataFrame:
    schema = {"model": pl.String, "fold": pl.Int64, "seed": pl.Int64, "fit_seconds": pl.Float64, metric: pl.Float64}
    return pl.DataFrame([(model, fold, seed, 1.0, value) for fold, value in enumerate(values)], schema=schema, orient="row")


def test_over_seeds_separates_what_seeds_and_what_folds_differ_by() -> None:
    values = {1: [0.1, 0.5], 2: [0.2, 0.8], 3: [0.3, 0.5]}
    popular = [rows(seed, [0.1, 0.2], "popular") for seed in values]
    found = over_seeds([*(rows(seed, inner) for seed, inner in values.items()), *popular])
    every = [value for inner in values.values() for value in inner]
    assert found["sasrec"]["MAP@10"] == pytest.approx(
        {"mean": 0.4, "std": statistics.stdev(every), "n": 6, "n_seeds": 3, "seed_std": statistics.stdev([0.3, 0.5, 0.4])}
    )
    assert found["popular"]["MAP@10"]["seed_std"] == 0
    assert found["popular"]["MAP@10"]["std"] > 0
    assert found["sasrec"]["fit_seconds"]["mean"] == 1


def test_one_seed_has_no_spread_over_seeds() -> None:
    assert over_seeds([rows(1, [0.1])]) == {
        "sasrec": {"fit_seconds": {"mean": 1.0, "n": 1, "n_seeds": 1}, "MAP@10": {"mean": 0.1, "n": 1, "n_seeds": 1}}
    }


def test_a_metric_that_a_run_lacks_is_summed_up_over_the_others() -> None:
    found = over_seeds([rows(1, [0.1]), rows(2, [0.3]), rows(3, [0.9], metric="NDCG@10")])["sasrec"]
    assert found["MAP@10"] == pytest.approx({"mean": 0.2, "std": statistics.stdev([0.1, 0.3]), "n": 2, "n_seeds": 2, "seed_std": 0.02**0.5})
    assert found["NDCG@10"] == {"mean": 0.9, "n": 1, "n_seeds": 1}


def test_runs_that_differ_in_more_than_their_seed_are_refused() -> None:
    with pytest.raises(ValueError, match="two rows of model sasrec, fold 0, seed 1"):
        over_seeds([rows(1, [0.1]), rows(1, [0.2])])


def test_summarise_over_folds() -> None:
    assert summarise(rows(1, [0.1, 0.3, None]))["sasrec"]["MAP@10"] == pytest.approx({"mean": 0.2, "std": 0.02**0.5, "n": 2})
