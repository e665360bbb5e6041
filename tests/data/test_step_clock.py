"""Data with an order and no times: steps for a clock, which everything that compares times refuses."""

from datetime import datetime, timedelta

import polars as pl
import pytest
from conftest import composed, interactions

from recseq.data.interactions import Interactions
from recseq.errors import DataError
from recseq.metrics import METRICS
from recseq.models.popular import Popular
from recseq.modes import run
from recseq.splitting import SPLITTERS
from recseq.training.context import FitContext
from recseq.training.validation import LastInteraction, LastRange, Scoring

FILTERS = {"filter_cold_users": False, "filter_cold_items": False, "filter_already_seen": False}


def ordered() -> Interactions:
    """Users in mixed rows: 1 took 10, 11, 12 and 2 took 11, 10, 13."""
    rows = [(1, 10), (2, 11), (1, 11), (1, 12), (2, 10), (2, 13)]
    return Interactions.with_steps(pl.DataFrame(rows, ["user_id", "item_id"], orient="row").with_columns(weight=pl.lit(1.0, pl.Float32)))


def test_each_user_counts_from_zero() -> None:
    steps = ordered().frame["datetime"] - datetime(1970, 1, 1)
    assert steps.to_list() == [timedelta(seconds=second) for second in (0, 0, 1, 2, 1, 2)]
    assert ordered().clock == "steps"
    assert ordered().tied_rows == 0
    assert "1970" not in ordered().span


def test_times_are_the_default_and_rows_keep_the_clock() -> None:
    timed = interactions([(1, 10, 0)])
    assert timed.clock == timed.with_rows(timed.frame).clock == "time"
    assert ordered().with_rows(ordered().frame.head(1)).clock == "steps"
    timed.require_times("x", "y")


@pytest.mark.parametrize(
    "splitter",
    [
        {"type": "time_range", "test_size": "1H", "n_splits": 1, "skip_last": 0, **FILTERS},
        {"type": "global_timestamp", "at": None, "quantile": 0.5, **FILTERS},
    ],
    ids=lambda node: node["type"],
)
def test_splitters_by_time_refuse(splitter: dict) -> None:
    message = rf"splitter={splitter['type']} needs times.*use splitter=last_n"
    with pytest.raises(DataError, match=message):
        list(SPLITTERS.build(splitter).split(ordered()))


def test_leave_one_out_takes_the_last_item_and_keeps_the_clock() -> None:
    (fold,) = SPLITTERS.build({"type": "last_n", "n": 1, "n_splits": 1, "skip_last": 0, **FILTERS}).split(ordered())
    assert sorted(fold.test.frame.select("user_id", "item_id").rows()) == [(1, 12), (2, 13)]
    assert fold.train.clock == fold.test.clock == "steps"


def test_validation_by_time_refuses_and_by_user_keeps_the_clock() -> None:
    scoring = Scoring([METRICS.find("HitRate", "")()], [1])
    rest = {"n_users": None, "monitor": "HitRate", "patience": None, "finish": "best", "scoring": scoring}
    with pytest.raises(DataError, match=r"validation=last_range needs times.*use validation=last_interaction"):
        LastRange(size="1H", **rest).hold_out(ordered(), None, 0)
    rows = [*ordered().frame.select("user_id", "item_id").rows(), (3, 12), (3, 13), (3, 10)]
    more = Interactions.with_steps(pl.DataFrame(rows, ["user_id", "item_id"], orient="row").with_columns(weight=pl.lit(1.0, pl.Float32)))
    assert LastInteraction(**rest).hold_out(more, None, 0).train.clock == "steps"


def test_recent_popularity_refuses() -> None:
    with pytest.raises(DataError, match=r"model\.period_days needs times"):
        Popular(by="users", period_days=7, inverse=False).fit(ordered(), None, FitContext(folder=None, seed=1, label=""))


def test_a_run_says_which_splitter_to_use(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "log.txt"
    path.write_text("".join(f"{user} {item}\n" for user in range(1, 9) for item in (user, user + 1, user + 2, 1, 9)))
    common = ["dataset=sasrec", f"dataset.path={path}", "model=popular", "tracking=none", "reference_models=[]"]
    with pytest.raises(DataError, match=r"use splitter=last_n"):
        run(composed(*common), tmp_path / "a")
    assert 0 <= run(composed(*common, "splitter=last_n", "splitter.filter_already_seen=false"), tmp_path / "b") <= 1
