"""Learning curves from `epochs.csv`."""

from pathlib import Path

import polars as pl
import pytest
from fake_runs import fake_run

from recseq.report.curves import curves_of, draw_curves
from recseq.report.rows import make_rows
from recseq.report.runs import runs_below


def test_curves_are_means_over_folds_and_seeds_of_who_reached_the_epoch(tmp_path: Path) -> None:
    for seed in (1, 2):
        folder = fake_run(tmp_path / str(seed), f"seed={seed}", scores={"MAP@10": [0.1, 0.2]})
        pl.DataFrame({"epoch": [1, 2], "train_loss": [4.0 * seed, 2.0], "val_MAP@10": [0.1, None]}).write_csv(
            folder / "fold_0" / "epochs.csv"
        )
    pl.DataFrame({"epoch": [1, 2, 3], "train_loss": [3.0, 1.0, 0.5]}).write_csv(folder / "fold_1" / "epochs.csv")
    fake_run(tmp_path / "popular", "model=popular", scores={"MAP@10": [0.1, 0.2]})
    rows = make_rows(runs_below([tmp_path]).runs)
    sasrec, popular = rows
    curves = curves_of(sasrec, None)
    assert curves is not None
    assert curves["epoch"].to_list() == [1, 2, 3]
    assert curves["train_loss"].to_list() == pytest.approx([5.0, 5 / 3, 0.5])
    assert curves["val_MAP@10"].to_list() == [0.1, None, None]
    of_first = curves_of(sasrec, [0])
    assert of_first is not None
    assert of_first["train_loss"].to_list() == [6.0, 2.0]
    assert curves_of(popular, None) is None
    figures = draw_curves(rows, None)
    assert [figure.layout.yaxis.title.text for figure in figures] == ["train_loss", "val_MAP@10"]
    assert [trace.name for trace in figures[0].data] == ["sasrec"]


def test_nothing_recorded_is_no_figure(tmp_path: Path) -> None:
    fake_run(tmp_path / "a", scores={"MAP@10": [0.1]})
    assert draw_curves(make_rows(runs_below([tmp_path]).runs), None) == []
