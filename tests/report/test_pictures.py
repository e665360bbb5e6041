"""The Pareto front by hand, axes, and pictures in which nothing covers anything."""

import re
from pathlib import Path

import pytest
from fake_runs import fake_run

from recseq.errors import ConfigError
from recseq.report.numbering import find_place, overlap
from recseq.report.pictures import interactive, write_html, write_png
from recseq.report.points import Picture, choose_axes, make_picture, pareto_front
from recseq.report.rows import Row, make_rows
from recseq.report.runs import runs_below


@pytest.mark.parametrize(
    ("lower_x", "lower_y", "front"),
    [
        (False, False, "bdf"),
        (True, False, "b"),
        (False, True, "f"),
        (True, True, "ac"),
    ],
)
def test_the_front_is_what_nobody_dominates(lower_x: bool, lower_y: bool, front: str) -> None:
    points = {"a": (1.0, 1.0), "b": (1.0, 4.0), "c": (2.0, 0.5), "d": (2.0, 3.0), "e": (1.5, 2.0), "f": (3.0, 0.5)}
    found = pareto_front(list(points.values()), lower_x, lower_y)
    assert "".join(name for name, on in zip(points, found, strict=True) if on) == front


def test_equal_points_are_on_the_front_together() -> None:
    assert pareto_front([(1.0, 2.0), (1.0, 2.0), (1.0, 1.0)], False, False) == [True, True, False]


SCORES = {"a": (0.1, 9.0), "b": (0.2, 5.0), "c": (0.3, 1.0), "d": (0.15, 2.0)}


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    for name, (accuracy, other) in SCORES.items():
        scores = {"MAP@10": [accuracy], "Serendipity@10": [other], "AvgRecPopularity@10": [other]}
        fake_run(tmp_path / name, f"model.name={name}", f"loss={'softmax' if name < 'c' else 'bce'}", scores=scores)
    return make_rows(runs_below([tmp_path]).runs)


def picture(rows: list[Row], y: str = "Serendipity@10", color: str = "model") -> Picture:
    return make_picture(rows, None, ("MAP@10", y), color, "demo (simulated), fold 0")


def test_the_staircase_joins_the_front(rows: list[Row]) -> None:
    higher = picture(rows)
    assert [point.label for point in higher.front] == ["a", "b", "c"]
    assert higher.staircase() == ([0.1, 0.1, 0.2, 0.2, 0.3], [9.0, 5.0, 5.0, 1.0, 1.0])
    lower = picture(rows, "AvgRecPopularity@10")
    assert [point.label for point in lower.front] == ["c"]


def test_models_of_different_folds_have_no_front(rows: list[Row], tmp_path: Path) -> None:
    fake_run(tmp_path / "z", "model.name=z", scores={"MAP@10": [0.5], "Serendipity@10": [99.0]}, split="other")
    mixed = picture(make_rows(runs_below([tmp_path]).runs))
    assert len(mixed.points) == 5
    assert mixed.front == []


def test_axes_that_are_not_there_are_refused_or_replaced(rows: list[Row]) -> None:
    with pytest.raises(ConfigError, match=r"report\.x is 'MAP@5', which the runs do not have; did you mean 'MAP@10'\?.*fit_seconds"):
        choose_axes(rows, None, "MAP@5", "Serendipity@10", strict=True)
    axes, notes = choose_axes(rows, None, "MAP@5", "Recall@5", strict=False)
    assert axes == ("MAP@10", "Serendipity@10")
    assert [note.split(",")[0] for note in notes] == ["report.x is MAP@5", "report.y is Recall@5"]
    assert choose_axes(rows, None, "MAP@10", "fit_seconds", strict=True) == (("MAP@10", "fit_seconds"), [])


def test_no_two_points_look_alike(rows: list[Row]) -> None:
    many = [Row(f"m{i}", row.model, row.runs, False, row.settings, row.item_net) for i in range(5) for row in rows[:1]]
    twelve = [Row(f"m{i}", rows[i % 4].model, rows[i % 4].runs, False, rows[i % 4].settings, "ids") for i in range(24)]
    for shown in (many, twelve):
        for color in ("model", "item_net", "loss.type"):
            traces = [trace for trace in interactive(picture(shown, color=color)).data if trace.hoverinfo != "skip"]
            if color == "model" or len(shown) <= 8:
                assert len({(trace.marker.color, trace.marker.symbol) for trace in traces}) == len(shown)
            assert len({trace.marker.color for trace in traces}) == min(8, len({p.group for p in picture(shown, color=color).points}))


def test_the_tooltip_has_every_number_and_texts_are_escaped(rows: list[Row]) -> None:
    evil = Row("<script>alert(1)</script>", rows[0].model, rows[0].runs, False, rows[0].settings, "ids")
    figure = interactive(picture([evil, *rows[1:]]))
    told = next(trace.hovertemplate for trace in figure.data if trace.hovertemplate)
    for text in (
        "MAP@10: 0.100000",
        "Serendipity@10: 9.000000",
        "AvgRecPopularity@10: 9.000000",
        "fit_seconds: 1.500000",
        "item net: ids",
        "seeds: 42",
    ):
        assert text in told
    assert "<script>alert" not in told
    assert "<script>alert" not in figure.to_html(full_html=False, include_plotlyjs=False)


def test_files_stand_alone_and_the_png_is_a_png(rows: list[Row], tmp_path: Path) -> None:
    write_html(picture(rows), tmp_path / "p.html")
    write_png(picture(rows, color="loss.type"), tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "p.html").read_text()
    assert len(text) > 3_000_000  # plotly.js is in it
    assert not re.findall(r"<(?:script|img|link|iframe)[^>]*(?:src|href)\s*=", text)
    assert "demo (simulated), fold 0" in text


def test_numbers_find_free_places_where_there_are_any() -> None:
    inside = (0.0, 0.0, 100.0, 100.0)
    points = [(50.0, 50.0), (52.0, 50.0), (50.0, 53.0), (96.0, 96.0)]
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in points]
    for x, y in points:
        dx, dy = find_place((x, y), (3.0, 3.0), taken, inside)
        box = (x + dx - 3, y + dy - 3, x + dx + 3, y + dy + 3)
        assert min(box[:2]) >= 0
        assert max(box[2:]) <= 100
        assert not any(overlap(box, other) for other in taken)
        taken.append(box)
