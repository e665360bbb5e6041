"""Real runs on hand-made data: examples by hand, and the whole report made of them."""

import re
from pathlib import Path

import polars as pl
import pytest
from conftest import composed

from recseq.data.sources import SOURCES
from recseq.errors import ConfigError
from recseq.modes import run
from recseq.report.examples import examples_of, items_to_compare, print_examples, read_examples
from recseq.report.options import ReportOptions
from recseq.report.rows import Row, make_rows
from recseq.report.runs import runs_below

EVIL = "<script>alert('title')</script>"
OPTIONS = {"of": None, "experiment": None, "folds": None, "x": "MAP@3", "y": "HitRate@3", "color": "model", "baseline": "best"} | {
    **{"users": 2, "items": 2, "k": 3, "show_examples": False},
}


def options(**changes: object) -> ReportOptions:
    return ReportOptions(**(OPTIONS | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, item_knn (with popular as reference) and ease, over 12 users and 6 items with titles."""
    folder = tmp_path_factory.mktemp("examples")
    rows = [(f"u{user}", 1 + (user + step) % 6, f"2024-01-{1 + 2 * step + user % 2:02d}") for user in range(12) for step in range(4)]
    pl.DataFrame(rows, schema=["user_id", "item_id", "datetime"], orient="row").write_csv(folder / "log.csv")
    titles = ["Alpha", EVIL, "Gamma [bold]", "Delta", "Epsilon", "Zeta"]
    pl.DataFrame({"item_id": range(1, 7), "name": titles, "genre": ["x"] * 6}).write_csv(folder / "items.csv")
    data = (f"dataset.path={folder}/log.csv", f"dataset.items.path={folder}/items.csv", "dataset.items.title=name")
    for model in ("item_knn", "ease"):
        overrides = ("dataset=tabular", *data, f"model={model}", "splitter.test_size=2D", "metrics.k=3", "tracking=none", "report.k=3")
        run(composed(*overrides), folder / "runs" / model)
    return folder


@pytest.fixture(scope="module")
def rows(folder: Path) -> list[Row]:
    return make_rows(runs_below([folder / "runs"]).runs)


def test_lists_histories_and_hits_are_those_of_the_files(folder: Path, rows: list[Row]) -> None:
    found = read_examples(rows, options(users=["u5"]))
    (user,) = found.users
    assert user.user_id == "u5"
    # u5 took 6, 1, 2 and then 3
    assert user.n_history == 3
    assert [shown.title for shown in user.history] == [EVIL, "Alpha", "Zeta"]
    assert [str(shown.when)[:10] for shown in user.history] == ["2024-01-06", "2024-01-04", "2024-01-02"]
    assert [shown.title for shown in user.test] == ["Gamma [bold]"]
    assert list(user.lists) == ["ease", "item_knn", "popular"]
    written = pl.read_parquet(folder / "runs" / "item_knn" / "fold_0" / "recommendations.parquet")
    for model in ("item_knn", "popular"):
        expected = (
            written.filter((pl.col("model") == model) & (pl.col("user_id") == "u5")).sort("rank")["item_id"].cast(pl.String).to_list()
        )
        assert [shown.item_id for shown in user.lists[model]] == expected
        assert [shown.hit for shown in user.lists[model]] == [item == "3" for item in expected]


def test_neighbours_are_what_the_run_wrote_and_silent_models_are_named(folder: Path, rows: list[Row]) -> None:
    found = read_examples(rows, options(items=[2, 4]))
    assert [(item.item.title, item.n_train) for item in found.items] == [(EVIL, 6)]  # of item 4 the runs wrote down nothing
    assert "no neighbours recorded for popular" in found.notes
    similar = pl.read_parquet(folder / "runs" / "ease" / "fold_0" / "similar.parquet")
    assert similar.columns == ["model", "item_id", "similar_item_id", "score", "rank"]
    assert set(similar["model"]) == {"ease"}
    assert similar["item_id"].n_unique() == 3  # report.items by default
    assert not (similar["item_id"] == similar["similar_item_id"]).any()
    for item in found.items:
        near = (
            similar.filter(pl.col("item_id").cast(pl.String) == item.item.item_id).sort("rank")["similar_item_id"].cast(pl.String).to_list()
        )
        assert [shown.item_id for shown in item.lists["ease"]] == near


def test_users_are_drawn_the_same_each_time_and_unknown_ones_refused(rows: list[Row]) -> None:
    first, second = (read_examples(rows, options(users=2)) for _ in range(2))
    assert len(first.users) == 2
    assert [user.user_id for user in first.users] == [user.user_id for user in second.users]
    assert read_examples(rows, options(users=0)).users == []
    with pytest.raises(ConfigError, match=r"report.users names nobody, no test user of the fold; for example u"):
        read_examples(rows, options(users=["nobody"]))


def test_data_that_has_changed_is_not_shown(folder: Path, rows: list[Row], tmp_path: Path) -> None:
    source = folder / "log.csv"
    text = source.read_text()
    try:
        source.write_text(text + "u0,1,2024-01-09\n")
        assert read_examples(rows, options()).notes == ["the data is not what the runs had: its hash is another"]
        source.rename(tmp_path / "gone.csv")
        assert "the data cannot be read any more" in read_examples(rows, options()).notes[0]
    finally:
        source.write_text(text)


def test_the_most_popular_or_the_named_items(caplog: pytest.LogCaptureFixture) -> None:
    train = pl.DataFrame({"user_id": [1, 2, 3, 1, 2, 1], "item_id": [7, 7, 7, 8, 8, 9]})
    assert items_to_compare(train, 2).rows() == [(7, 3), (8, 2)]
    assert items_to_compare(train, ["9", 7, 99]).rows() == [(9, 1), (7, 3)]
    assert "report.items: 1 of 3 items are not in the train part" in caplog.text


def test_the_terminal_shows_titles_as_they_are(rows: list[Row], capsys: pytest.CaptureFixture[str]) -> None:
    dataset = SOURCES.build(rows[0].runs[0].config["dataset"]).read()
    print_examples(examples_of(rows, dataset, options(users=["u5"], items=[3])))
    told = capsys.readouterr().out
    assert "User u5, known interactions: 3; took next: Gamma [bold]" in told
    assert EVIL in told
    assert "✓" in told
    assert re.search(r"history, newest first.*ease.*item_knn.*popular", told)


def test_a_report_of_these_runs_stands_alone_and_escapes(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report"
    mode = (
        "mode=report",
        f"report.of={folder}/runs",
        "report.x=MAP@3",
        "report.y=HitRate@3",
        "report.users=[u5]",
        "report.show_examples=true",
    )
    run(composed(*mode), out)
    assert {path.name for path in out.iterdir()} == {
        *("leaderboard.csv", "pivot.csv", "pivot.md", "significance.csv", "report.html"),
        *("pareto.html", "pareto.png", "pareto_item_net.html", "pareto_item_net.png"),
    }
    page = (out / "report.html").read_text()
    assert page.count("plotly.js v") == 1
    start, _, rest = page.partition("<script>")
    body = start + rest.partition("</script>")[2]  # without plotly.js
    assert not re.findall(r"(?:src|href|action)\s*=\s*['\"]?(?!#)[^'\"#>\s]", body)
    assert not re.findall(r"https?://(?!www\.w3\.org)", body.replace("https://plot.ly", ""))
    assert "<script>alert" not in body
    assert "&lt;script&gt;alert(&#39;title&#39;)&lt;/script&gt;" in body
    for text in (
        "3 models",
        "Significance against",
        "No curves recorded.",
        "model.regularization",
        "User u5",
        "✓ ",
        "no neighbours recorded for popular",
    ):
        assert text in body
    table = pl.read_csv(out / "leaderboard.csv")
    assert set(table["model"]) == {"ease", "item_knn", "popular"}
    assert pl.read_csv(out / "pivot.csv")["MAP@3"].is_sorted(descending=True)
    assert pl.read_csv(out / "significance.csv")["model"].unique().to_list() == [table["model"][0]]
    assert "User u5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), "mode=report needs one of report.of"),
        (("report.of={folder}/runs", "report.experiment=recseq"), "mode=report needs one of report.of"),
        (("report.experiment=recseq", "tracking=none"), "report.experiment needs tracking=mlflow"),
        (("report.of={folder}/runs",), "report.x is 'MAP@10', which the runs do not have; did you mean 'MAP@3'"),
        (("report.of={folder}/runs", "report.folds=[3]"), "the runs have the folds 0"),
        (("report.of={folder}/runs", "report.color=los.type", "report.x=MAP@3", "report.y=MAP@3"), "report.color is 'los.type'"),
        (("report.of={folder}/runs", "report.baseline=easy", "report.x=MAP@3", "report.y=MAP@3"), "did you mean 'ease'?"),
        (("report.of={folder}/runs", "report.k=0"), "report.k is 0, must be >= 1"),
        (("report.of={folder}/none",), "which is no folder"),
    ],
)
def test_what_cannot_be_shown_is_said_and_nothing_written(folder: Path, tmp_path: Path, overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run(composed("mode=report", *(text.format(folder=folder) for text in overrides)), tmp_path / "out")
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_sources_of_a_report_are_no_options_of_a_run() -> None:
    with pytest.raises(ConfigError, match=r"report\.of is set, which has an effect only with mode=report"):
        run(composed("report.of=x"), Path("nowhere"))
