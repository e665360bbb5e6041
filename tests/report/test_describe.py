"""`mode=describe` as it is typed: tables, files, and the README of the real data."""

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import composed, interactions

from recseq.data.description import describe_dataset
from recseq.data.interactions import Dataset
from recseq.errors import ConfigError
from recseq.modes import run
from recseq.report.describe import describe_folds, page, tables
from recseq.splitting import SPLITTERS

SMALL = ("mode=describe", "dataset.n_users=300", "dataset.n_items=60", "dataset.n_interactions=2000")


def described(folder: Path, *overrides: str) -> dict[str, Any]:
    run(composed(*overrides, f"paths.cache={folder / 'cache'}"), folder / "out")
    found = json.loads((folder / "out" / "description.json").read_text())
    assert isinstance(found, dict)
    return found


def test_files_and_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = described(tmp_path, *SMALL, "splitter.n_splits=2", "preprocessing.k_core_users=2", "dataset.cache=false")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("config.yaml", "description.json", "description.html", "description.png", "features.csv", "folds.csv"),
    }
    assert not (tmp_path / "cache").exists()
    assert found["dropped"] == {"k-core, users 2 items 1": 2000 - found["n_rows"]}
    assert found["splitter_refused"] is None
    printed = capsys.readouterr().out
    for text in ("demo (simulated)", "Histories", "Preprocessing, in this order", "Item features", "director", "Folds", "description.html"):
        assert text in printed
    folds = pl.read_csv(tmp_path / "out" / "folds.csv")
    assert folds.height == 2
    dropped = folds.select(pl.sum_horizontal(pl.col("^dropped_.*$"))).to_series()
    assert (folds["test_rows"] + dropped).equals(folds["test_rows_before"].alias("test_rows"))
    assert (tmp_path / "out" / "description.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    described(tmp_path, *SMALL)
    html = (tmp_path / "out" / "description.html").read_text()
    assert "Plotly.newPlot" in html
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", html)


def test_texts_are_escaped() -> None:
    dataset = Dataset("<b>x</b>", interactions([(1, 1, 0), (1, 2, 1), (2, 1, 20), (1, 3, 21)]), notes=("<i>y</i>",))
    description = describe_dataset(dataset)
    html = page(description, [], tables(description, []), "<u>z</u>")
    for text in ("<b>x", "<i>y", "<u>z"):
        assert text not in html
    assert "&lt;b&gt;x" in html


def test_a_splitter_that_does_not_fit_is_said_and_the_rest_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = described(tmp_path, *SMALL, "splitter.test_size=1000D")
    assert "has no train rows" in found["splitter_refused"]
    assert found["folds"] == []
    assert "No folds: fold 0" in capsys.readouterr().out
    assert (tmp_path / "out" / "description.png").exists()


def test_what_folds_drop() -> None:
    rows = [(1, 1, 0), (2, 2, 0), (1, 2, 8), (1, 1, 8), (3, 1, 9), (2, 9, 9), (2, 1, 9)]
    node = composed("splitter.test_size=7D").splitter
    folds, refused = describe_folds(SPLITTERS.build(node), Dataset("x", interactions(rows)))
    (fold,) = folds
    assert refused is None
    assert (fold["test_rows_before"], fold["test_rows"], fold["test_users"]) == (5, 2, 2)
    assert [fold[f"dropped_{name}"] for name in ("cold_users", "cold_items", "already_seen")] == [1, 1, 1]


def test_data_without_times_shows_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.txt"
    path.write_text("".join(f"{user} {item}\n" for user in range(1, 9) for item in (user, user + 1, user + 2)))
    found = described(tmp_path, "mode=describe", "dataset=sasrec", f"dataset.path={path}", "splitter=last_n")
    assert (found["first"], found["last"], found["folds"][0]["test_start"]) == (None, None, None)
    assert found["folds"][0]["test_rows"] > 0
    page = (tmp_path / "out" / "description.html").read_text().partition("<h1>")[2]
    for text in (capsys.readouterr().out, page):
        assert "no times, only each user" in text
        assert "1970" not in text
    run(composed("mode=describe", "dataset=sasrec", f"dataset.path={path}", f"paths.cache={tmp_path / 'cache'}"), tmp_path / "by_time")
    assert "use splitter=last_n" in capsys.readouterr().out


def test_a_job_of_a_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no job of a sweep"):
        run(composed(*SMALL), tmp_path / "out", tmp_path)


def test_agrees_with_the_readme_of_movietweetings(movietweetings: Path, tmp_path: Path) -> None:
    readme = " ".join((movietweetings / "README.md").read_text().split())
    found = described(tmp_path, "mode=describe", "dataset=movietweetings", f"dataset.path={movietweetings}", "splitter.test_size=14D")
    (fold,) = found["folds"]
    assert f"the last fold is [{fold['test_start'][:10]}, {fold['test_end'][:10]})" in readme
    assert f"train {fold['train_rows']:,} rows / {fold['train_users']:,} users / {fold['train_items']:,} items" in readme
    assert f"the test part has {fold['test_rows']:,} rows, {fold['test_users']:,} users, {fold['test_items']:,} items" in readme
