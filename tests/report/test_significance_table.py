"""What the terminal says of differences: marks, intervals, legend."""

import io
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from recseq.metrics.significance import SCHEMA, Significance, SignificanceOptions
from recseq.metrics.summary import summarise
from recseq.report import terminal

FOLDS = pl.DataFrame(
    {
        "model": ["popular", "ease", "sasrec"],
        "fold": [0, 0, 0],
        "seed": [1, 1, 1],
        "fit_seconds": [0.1, 0.2, 9.0],
        "MAP@10": [0.05, 0.06, 0.08],
        "NDCG@10": [0.1, 0.15, 0.1],
        "Recall@10": [0.5, 0.5, 0.4],
        "CatalogCoverage@10": [0.01, 0.2, 0.3],
    }
)
INTERVALS = pl.DataFrame(
    {
        "model": "sasrec",
        "metric": ["MAP@10", "NDCG@10", "Recall@10"],
        "mean": [0.08, 0.1, 0.4],
        "low": [0.07, 0.05, 0.3],
        "high": [0.09, 0.2, 0.5],
    }
)


def compared(metric: str, other: str, difference: float | None, significant: bool) -> dict[str, object]:
    low, high = (None, None) if difference is None else (difference - 0.01, difference + 0.01)
    return dict.fromkeys(SCHEMA) | {
        **{"metric": metric, "model": "sasrec", "other": other, "difference": difference, "low": low, "high": high},
        "significant": significant,
    }


ROWS = [
    compared("MAP@10", "popular", 0.03, True),
    compared("MAP@10", "ease", 0.02, True),
    compared("NDCG@10", "popular", None, False),
    compared("NDCG@10", "ease", -0.05, True),
    compared("Recall@10", "popular", -0.1, True),
    compared("Recall@10", "ease", -0.1, True),
]


def printed(
    monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, object]], width: int = 160, test: str = "t", encoding: str = "utf-8"
) -> str:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding)
    monkeypatch.setattr(terminal, "console", lambda: Console(file=out, width=width))
    options = SignificanceOptions(n_resamples=1000, confidence=0.9, test=test)  # type: ignore[arg-type]
    found = Significance(INTERVALS, pl.DataFrame(rows, schema=SCHEMA), options)
    terminal.print_results("demo", FOLDS, summarise(FOLDS), "sasrec", found, Path("x"), None)
    out.flush()
    return raw.getvalue().decode(encoding)


def cells(text: str, begin: str, which: int, border: str = "│") -> list[str]:
    lines = [line for line in text.splitlines() if line.startswith(f"{border} {begin} ")]
    return [cell.strip() for cell in lines[which].split(border)[1:-1]]


def test_the_models_row_is_marked_where_it_differs_from_all_others_in_one_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(monkeypatch, ROWS)
    assert cells(text, "sasrec", 0) == ["sasrec", "▲ 0.080000", "0.100000", "▼ 0.400000", "0.300000", "9.0"]
    assert cells(text, "ease", 0)[1:3] == ["0.060000", "0.150000"]
    assert (
        "▲ ▼ significantly higher, lower than each of popular, ease: paired t-test, Holm's correction, 90 %. Intervals: percentile" in text
    )


def test_every_difference_has_its_interval_and_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(monkeypatch, ROWS, width=130)
    assert "sasrec with 90 % intervals" in text
    assert cells(text, "MAP@10", 0) == [
        "MAP@10",
        "0.08000 [0.07000, 0.09000]",
        "▲ +0.0300 [+0.0200, +0.0400]",
        "▲ +0.0200 [+0.0100, +0.0300]",
    ]
    assert cells(text, "NDCG@10", 0)[2:] == ["", "▼ -0.0500 [-0.0600, -0.0400]"]


def test_a_metric_that_is_compared_with_some_only_has_no_mark_in_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(monkeypatch, [*ROWS[:2], ROWS[3]])
    assert cells(text, "sasrec", 0)[1:3] == ["▲ 0.080000", "0.100000"]


@pytest.mark.parametrize(
    ("values", "sign", "shown"),
    [
        ((0.38107, 0.34620, 0.41594), "", "0.3811 [0.3462, 0.4159]"),
        ((0.000314, 0.000231, 0.000402), "", "0.000314 [0.000231, 0.000402]"),
        ((-259.52, -271.25, -6.94729), "+", "-260 [-271, -7]"),
        ((82236.76, 82000.0, 82500.0), "", "82,237 [82,000, 82,500]"),
        ((-1e-9, -1e-9, 0.0), "+", "+0.000000 [+0.000000, +0.000000]"),
        ((0.0, 0.0, 0.0), "+", "+0.000 [+0.000, +0.000]"),
        ((0.5, None, None), "", ""),
    ],
)
def test_numbers_of_a_cell_have_as_many_decimals_as_their_size_asks_for(values: tuple[float, ...], sign: str, shown: str) -> None:
    assert terminal._with_interval(*values, sign=sign) == shown


def test_one_other_model_needs_no_correction_and_none_no_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(monkeypatch, ROWS[:1], test="wilcoxon")
    assert "lower than popular: Wilcoxon signed-rank test, 90 %." in text
    alone = printed(monkeypatch, [])
    assert "▲" not in alone
    assert "Intervals: percentile bootstrap, 1,000 resamples" in alone
    assert cells(alone, "MAP@10", 0) == ["MAP@10", "0.08000 [0.07000, 0.09000]"]


def test_a_terminal_without_these_signs_gets_others(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(monkeypatch, ROWS, encoding="ascii")
    assert cells(text, "sasrec", 0, border="|")[1:4] == ["^ 0.080000", "0.100000", "v 0.400000"]


def test_nothing_is_cut_off_in_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(monkeypatch, ROWS, width=80)
    assert "…" not in text[text.index("intervals") :]
