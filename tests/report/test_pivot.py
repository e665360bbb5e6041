"""Rows over seeds and folds, their labels, and the pivot table in its forms."""

from pathlib import Path

import pytest
from fake_runs import fake_run

from recseq.report.differences import config_differences
from recseq.report.direction import lower_is_better
from recseq.report.pivot import cells, markdown, pivot_table, print_pivot, rank, runs_table, spread_text
from recseq.report.rows import Row, Spread, colour_of, make_rows
from recseq.report.runs import runs_below


def rows_of(folder: Path) -> list[Row]:
    return make_rows(runs_below([folder]).runs)


def test_seeds_are_one_row_with_mean_and_std_of_fold_means(tmp_path: Path) -> None:
    for seed, values in ((1, [0.1, 0.3]), (2, [0.2, 0.6])):
        fake_run(tmp_path / str(seed), f"seed={seed}", scores={"MAP@10": values})
    (row,) = rows_of(tmp_path)
    spread = row.spread("MAP@10", None)
    assert spread is not None
    assert (spread.mean, spread.std, spread.n) == pytest.approx((0.3, 0.14142135623730953, 2))  # means of seeds are 0.2 and 0.4
    table = pivot_table([row], None)
    assert table.columns == ["model", "item_net", "n", "MAP@10", "MAP@10_std"]
    assert table.row(0)[2:] == pytest.approx((2, 0.3, 0.14142135623730953))
    runs = runs_table([row], None)
    assert runs["seed"].to_list() == [1, 2]
    assert runs["MAP@10"].to_list() == pytest.approx([0.2, 0.4])


def test_selected_folds_alone_count(tmp_path: Path) -> None:
    fake_run(tmp_path / "a", scores={"MAP@10": [0.1, 0.3, 0.8]})
    (row,) = rows_of(tmp_path)
    assert pivot_table([row], [0, 1])["MAP@10"].to_list() == pytest.approx([0.2])
    assert pivot_table([row], [2])["MAP@10"].to_list() == [0.8]
    assert pivot_table([row], None)["MAP@10"].to_list() == pytest.approx([0.4])
    assert "MAP@10_std" not in pivot_table([row], None).columns


def test_references_are_shown_where_no_run_of_their_own_is(tmp_path: Path) -> None:
    reference = {"popular": {"MAP@10": [0.05]}}
    fake_run(tmp_path / "1", "seed=1", scores={"MAP@10": [0.1]}, references=reference)
    fake_run(tmp_path / "2", "seed=2", scores={"MAP@10": [0.2]}, references=reference)
    rows = rows_of(tmp_path)
    assert [(row.label, row.is_reference, row.item_net, len(row.runs)) for row in rows] == [
        ("sasrec", False, "ids+categories", 2),
        ("popular", True, "-", 2),
    ]
    fake_run(tmp_path / "3", "model=popular", "seed=1", scores={"MAP@10": [0.05]})
    rows = rows_of(tmp_path)
    assert [(row.label, row.is_reference) for row in rows] == [("sasrec", False), ("popular", False)]


def test_models_of_one_name_are_told_apart_by_what_varies(tmp_path: Path) -> None:
    fake_run(tmp_path / "a", "optimizer.lr=0.001", scores={"MAP@10": [0.1]})
    fake_run(tmp_path / "b", "optimizer.lr=0.01", scores={"MAP@10": [0.2]})
    assert [row.label for row in rows_of(tmp_path)] == ["sasrec (lr=0.001)", "sasrec (lr=0.01)"]
    fake_run(tmp_path / "c", "optimizer.lr=0.01", scores={"MAP@10": [0.2]}, split="of other data")
    assert [row.label for row in rows_of(tmp_path)] == ["sasrec #1", "sasrec #2", "sasrec #3"]


def test_models_of_one_name_are_called_what_their_runs_are_called_but_for_the_seed(tmp_path: Path) -> None:
    for seed in (1, 2):
        fake_run(tmp_path / f"a{seed}", f"seed={seed}", scores={"MAP@10": [0.1]}, title=f"sasrec-softmax-ids-seed={seed}-lr=1")
    fake_run(tmp_path / "b", "loss=gbce", scores={"MAP@10": [0.2]}, title="sasrec-gbce-ids-n50")
    assert [row.label for row in rows_of(tmp_path)] == ["sasrec-softmax-ids-lr=1", "sasrec-gbce-ids-n50"]
    fake_run(tmp_path / "c", "loss=gbce", "optimizer.lr=0.1", scores={"MAP@10": [0.2]}, title="sasrec-gbce-ids-n50")
    assert "sasrec-gbce-ids-n50" not in [row.label for row in rows_of(tmp_path)]


def test_item_net_is_what_was_fitted(tmp_path: Path) -> None:
    fake_run(tmp_path / "auto", scores={"MAP@10": [0.1]}, facts={"n_parameters_item_net_ids": 9.0, "n_parameters_item_net": 9.0})
    (row,) = rows_of(tmp_path)
    assert row.item_net == colour_of(row, "item_net") == "ids"
    assert colour_of(row, "loss.type") == "softmax"


def test_keys_of_groups_without_use_do_not_differ(tmp_path: Path) -> None:
    fake_run(tmp_path / "a", "model=popular", "loss=gbce", scores={"MAP@10": [0.1]})
    fake_run(tmp_path / "b", "row=sasrec_softmax_ids", scores={"MAP@10": [0.1]})
    fake_run(tmp_path / "c", "row=sasrec_bce_ids", scores={"MAP@10": [0.1]})
    found = config_differences(rows_of(tmp_path))
    assert found.labels == ["popular", "sasrec_softmax_ids", "sasrec_bce_ids"]
    values = {line[0]: line[1:] for line in found.values}
    assert values["loss.type"] == ["-", "softmax", "bce"]
    assert values["model.type"] == ["popular", "sequential", "sequential"]
    presence = {line[0]: line[1:] for line in found.presence}
    assert presence["model.n_factors"] == ["-", "256", "256"]
    assert presence["loss.n_negatives"] == ["-", "-", "50"]
    assert not [key for key in values | presence if key.startswith(("dataset.", "seed", "report."))]


def test_best_first_and_best_of_each_column_by_its_direction(tmp_path: Path) -> None:
    fake_run(tmp_path / "a", "model.name=a", scores={"MAP@10": [0.1], "AvgRecPopularity@10": [5.0], "CoveredUsers@10": [1.0]})
    fake_run(tmp_path / "b", "model.name=b|c", scores={"MAP@10": [0.2], "AvgRecPopularity@10": [50.0], "CoveredUsers@10": [1.0]})
    rows = rank(rows_of(tmp_path), "MAP@10", None)
    assert [row.label for row in rows] == ["b|c", "a"]
    assert [row.label for row in rank(rows, "AvgRecPopularity@10", None)] == ["a", "b|c"]
    heads, _, marks = cells(rows, None)
    assert heads == ["model", "item net", "MAP@10", "AvgRecPopularity@10", "CoveredUsers@10"]
    assert marks == [[False, False, True, False, False], [False, False, False, True, False]]
    assert markdown(rows, None).splitlines()[2:] == [
        "| b\\|c | ids+categories | **0.200000** | 50.00 | 1.000000 |",
        "| a | ids+categories | 0.100000 | **5.000000** | 1.000000 |",
    ]


def test_a_metric_that_one_run_lacks_is_empty_there(tmp_path: Path) -> None:
    fake_run(tmp_path / "a", "model.name=a", scores={"MAP@10": [0.1]})
    fake_run(tmp_path / "b", "model.name=b", scores={"MAP@10": [0.2], "Recall@10": [0.5]})
    table = pivot_table(rank(rows_of(tmp_path), "MAP@10", None), None)
    assert table["Recall@10"].to_list() == [0.5, None]


def test_the_terminal_cuts_no_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = {f"Metric{i}@10": [i + 0.123456] for i in range(30)}
    fake_run(tmp_path / "a", "model.name=a", scores=scores)
    print_pivot(rows_of(tmp_path), None, "many [metrics]")
    told = capsys.readouterr().out
    assert told.count("many [metrics]") == 1
    for name, (value,) in scores.items():
        assert name in told
        assert (f"{value:.6f}" if value < 10 else f"{value:.2f}") in told
    assert "…" not in told


def test_mean_and_std_have_the_same_decimals() -> None:
    assert spread_text(Spread(0.1234567, 0.01, 2)) == "0.123457 ± 0.010000"
    assert spread_text(Spread(1234.5, 6.34, 2)) == "1,234.50 ± 6.34"
    assert spread_text(Spread(1234.5, None, 1)) == "1,234.50"
    assert spread_text(None) == ""


def test_direction() -> None:
    assert [lower_is_better(c) for c in ("MAP@10", "Serendipity@10", "Unknown@3")] == [False] * 3
    assert [lower_is_better(c) for c in ("AvgRecPopularity@5", "Gini@10", "Intersection@10_popular", "fit_seconds")] == [True] * 4
