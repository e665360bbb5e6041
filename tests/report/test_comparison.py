"""Who is compared with whom, and on which users."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fake_runs import fake_run

from recseq.errors import ConfigError
from recseq.metrics.significance import SignificanceOptions
from recseq.report.comparison import compare, find_baseline, per_user
from recseq.report.rows import make_rows
from recseq.report.runs import runs_below

OPTIONS = SignificanceOptions(n_resamples=200, confidence=0.95, test="t")
USERS = 60


def users(level: float, seed: int = 0) -> pl.DataFrame:
    noise = np.random.default_rng(seed).normal(0, 0.05, USERS)
    return pl.DataFrame({"user_id": list(range(USERS)), "MAP@10": level + noise})


def test_only_models_of_the_same_folds_are_compared(tmp_path: Path) -> None:
    fake_run(
        tmp_path / "a",
        "model.name=a",
        scores={"MAP@10": [0.5]},
        per_user={"a": users(0.5), "popular": users(0.1, 1)},
        references={"popular": {"MAP@10": [0.1]}},
    )
    fake_run(tmp_path / "b", "model.name=b", scores={"MAP@10": [0.3]}, per_user={"b": users(0.3, 2)})
    fake_run(tmp_path / "c", "model.name=c", scores={"MAP@10": [0.9]}, per_user={"c": users(0.9)}, split="other")
    fake_run(tmp_path / "d", "model.name=d", scores={"MAP@10": [0.2]})
    rows = make_rows(runs_below([tmp_path]).runs)
    table, notes = compare(rows, rows[0], None, OPTIONS, 0)
    assert table["other"].to_list() == ["b", "popular"]
    assert table["significant"].to_list() == [True, True]
    assert table["difference"].to_list() == pytest.approx([0.2, 0.4], abs=0.03)
    assert notes == [
        "c is not comparable with a: it was tested on other folds or data",
        "d is not comparable: its runs have no per_user.parquet",
    ]


def test_seeds_are_averaged_user_by_user(tmp_path: Path) -> None:
    for seed in (1, 2):
        fake_run(tmp_path / str(seed), f"seed={seed}", scores={"MAP@10": [0.1]}, per_user={"sasrec": users(float(seed))})
    (row,) = make_rows(runs_below([tmp_path]).runs)
    table = per_user(row, None)
    assert table.columns == ["model", "fold", "user_id", "MAP@10"]
    assert table.height == USERS
    assert table["MAP@10"].to_list() == pytest.approx(users(1.5)["MAP@10"].to_list())


def test_the_baseline_is_the_best_or_a_name(tmp_path: Path) -> None:
    fake_run(tmp_path / "a", "optimizer.lr=0.1", scores={"MAP@10": [0.5]})
    fake_run(tmp_path / "b", "optimizer.lr=0.2", scores={"MAP@10": [0.4]})
    rows = make_rows(runs_below([tmp_path]).runs)
    assert find_baseline(rows, "best") is rows[0]
    assert find_baseline(rows, "sasrec (lr=0.2)") is rows[1]
    with pytest.raises(ConfigError, match=r"'sasrec', which may be any of sasrec \(lr=0.1\), sasrec \(lr=0.2\)"):
        find_baseline(rows, "sasrec")
    with pytest.raises(ConfigError, match=r"report.baseline is 'ease'.*best"):
        find_baseline(rows, "ease")
