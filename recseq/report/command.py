"""Makes a report: `mode=report` over finished runs, and the end of a sweep."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from recseq.config import import_plugins
from recseq.errors import ConfigError
from recseq.files import written_aside
from recseq.metrics.significance import TESTS, SignificanceOptions
from recseq.report.comparison import compare
from recseq.report.curves import draw_curves
from recseq.report.differences import config_differences
from recseq.report.examples import print_examples, read_examples
from recseq.report.options import ReportOptions
from recseq.report.page import Page, render
from recseq.report.pictures import interactive, write_html, write_png
from recseq.report.pivot import cells, markdown, pivot_table, print_pivot, runs_table
from recseq.report.points import make_picture
from recseq.report.runs import Found, runs_below, runs_of_experiment
from recseq.report.selection import Selection, select
from recseq.report.terminal import console


def report(config: Mapping[str, Any], folder: Path) -> None:
    """Do `mode=report`: all of `write_report`, and `leaderboard.csv`, a row a run.

    Args:
        config: A checked config.
        folder: Where the report goes.

    Raises:
        ConfigError: No runs are named, or found, or an option names what they do not have.
    """
    options = ReportOptions(**config["report"])
    if (options.of is None) == (options.experiment is None):
        raise ConfigError(
            "mode=report needs one of report.of=<folder of runs or sweeps, or a list of them> and report.experiment=<MLflow experiment>"
        )
    if options.of is not None:
        found = runs_below([Path(path) for path in ([options.of] if isinstance(options.of, str) else options.of)])
    elif config["tracking"]["type"] != "mlflow":
        raise ConfigError("report.experiment needs tracking=mlflow, whose tracking.uri says where the experiment is")
    else:
        found = runs_of_experiment(config["tracking"]["uri"], str(options.experiment))
    selection = select_runs(found, options, strict=True)
    put(folder / "leaderboard.csv", runs_table(selection.rows, selection.folds).write_csv)
    deque(write_report(selection, config, folder), maxlen=0)
    console().print(f"Report folder: {folder}", highlight=False, soft_wrap=True)


def report_sweep(folder: Path, config: Mapping[str, Any]) -> Iterator[Path]:
    """Write the report of a sweep into its folder, beside its leaderboard.

    Args:
        folder: The sweep's folder.
        config: The groups `report` and `metrics` and the seed that the sweep was started with.

    Yields:
        Each file as it is written; none where no job has finished.
    """
    try:
        found = runs_below([folder])
    except ConfigError:
        return
    yield from write_report(select_runs(found, ReportOptions(**config["report"]), strict=False), config, folder)


def select_runs(found: Found, options: ReportOptions, strict: bool) -> Selection:
    """`select`, with the parts known that the runs were composed of."""
    for run in found.runs:
        import_plugins(run.config["plugins"])
    return select(found, options, strict)


def write_report(selection: Selection, config: Mapping[str, Any], folder: Path) -> Iterator[Path]:
    """Print the table and write tables, pictures and page.

    Args:
        selection: What is shown.
        config: The groups `report` and `metrics` and the seed.
        folder: Where the files go.

    Yields:
        `pivot.csv`, `pivot.md`, `significance.csv`, `pareto.html`, `pareto.png`, `pareto_item_net.html`, `pareto_item_net.png` and
        `report.html`, each when it is there.
    """
    options, significance = ReportOptions(**config["report"]), SignificanceOptions(**config["metrics"]["significance"])
    rows, folds = selection.rows, selection.folds
    for note in selection.notes:
        console().print(note, highlight=False, markup=False, soft_wrap=True)
    print_pivot(rows, folds, selection.description)
    yield put(folder / "pivot.csv", pivot_table(rows, folds).write_csv)
    yield put(folder / "pivot.md", lambda path: path.write_text(markdown(rows, folds), encoding="utf-8"))
    comparison, not_comparable = compare(rows, selection.baseline, folds, significance, config["seed"])
    yield put(folder / "significance.csv", comparison.write_csv)
    pictures = [make_picture(rows, folds, selection.axes, by, selection.description) for by in dict.fromkeys((selection.color, "item_net"))]
    for name, picture in (("pareto", pictures[0]), ("pareto_item_net", pictures[-1])):
        yield put(folder / f"{name}.html", partial(write_html, picture))
        yield put(folder / f"{name}.png", partial(write_png, picture))
    examples = [read_examples(group, options) for group in selection.by_split]
    heads, lines, marks = cells(rows, folds)
    page = Page(
        title=f"{selection.datasets}: {len(rows)} models",
        facts=[("data", selection.description), *selection.origin, ("written", f"{datetime.now():%Y-%m-%d %H:%M}")],
        notes=selection.notes,
        heads=heads,
        lines=lines,
        marks=marks,
        runs=runs_table(rows, folds),
        comparison=comparison,
        baseline=selection.baseline.label,
        test=describe_test(significance),
        comparison_notes=not_comparable,
        pictures=[interactive(picture) for picture in pictures],
        curves=draw_curves(rows, folds),
        differences=config_differences(rows),
        examples=examples,
    )
    yield put(folder / "report.html", lambda path: path.write_text(render(page), encoding="utf-8"))
    if options.show_examples:
        for each in examples:
            print_examples(each)


def describe_test(options: SignificanceOptions) -> str:
    """How models are compared, in words."""
    return f"{options.confidence:.0%} bootstrap, {options.n_resamples:,} resamples of users; {TESTS[options.test]} over users, p after Holm"


def put(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file aside, then rename it."""
    with written_aside(path) as aside:
        write(aside)
    return path
