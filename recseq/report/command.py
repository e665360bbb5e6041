"""Makes a report: `mode=report` over finished runs, and the end of a sweep."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from recseq.config import import_plugins
from recseq.errors import ConfigError
from recseq.files import write_text, written_aside
from recseq.metrics.significance import SignificanceOptions
from recseq.report.comparison import compare, find_baseline
from recseq.report.curves import draw_curves
from recseq.report.differences import config_differences
from recseq.report.examples import print_examples, read_examples
from recseq.report.options import ReportOptions
from recseq.report.page import Page, render
from recseq.report.pictures import interactive, write_html, write_png
from recseq.report.pivot import Folds, cells, markdown, pivot_table, print_pivot, rank, runs_table
from recseq.report.points import Picture, choose_axes, make_picture
from recseq.report.rows import Row, check_colour, check_folds, make_rows
from recseq.report.runs import FinishedRun, Found, runs_below, runs_of_experiment
from recseq.report.terminal import console

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reporter:
    """Writes the files of a report.

    Args:
        found: Finished runs and what was left out.
        options: The `report` group.
        significance: The node `metrics.significance`.
        seed: Of the resampling.
        strict: Refuse columns, folds and names that the runs do not have; at the end of a sweep they are noted instead.
    """

    found: Found
    options: ReportOptions
    significance: SignificanceOptions
    seed: int
    strict: bool

    def write(self, folder: Path) -> list[Path]:
        """Write all files and print the table.

        Returns:
            `pivot.csv`, `pivot.md`, `significance.csv`, `pareto.html`, `pareto.png`, `pareto_item_net.html`, `pareto_item_net.png` and
            `report.html`, which comes last.

        Raises:
            ConfigError: An option names what no run has.
        """
        options, notes = self.options, list(self.found.notes)
        runs, left_out = check_folds(self.found.runs, options.folds)
        notes += left_out
        rows = rank(make_rows(runs), runs[0].objective, options.folds)
        baseline = find_baseline(rows, options.baseline)
        check_colour(rows, options.color)
        axes, changed = choose_axes(rows, options.folds, options.x, options.y, self.strict)
        notes += changed
        if len({row.split_hash for row in rows}) > 1:
            notes.append("The models were tested on different data or folds: their numbers are not comparable across those.")
        subtitle = describe(runs, options.folds)
        for note in notes:
            log.info("report: %s", note)
        print_pivot(rows, options.folds, subtitle)

        files = [folder / "pivot.csv", folder / "pivot.md", folder / "significance.csv"]
        _write_csv(pivot_table(rows, options.folds), files[0])
        write_text(files[1], markdown(rows, options.folds))
        comparison, not_comparable = compare(rows, baseline, options.folds, self.significance, self.seed)
        _write_csv(comparison, files[2])
        pictures = [make_picture(rows, options.folds, axes, color, subtitle) for color in dict.fromkeys((options.color, "item_net"))]
        for name, picture in (("pareto", pictures[0]), ("pareto_item_net", pictures[-1])):
            files += _draw(picture, folder / name)
        heads, lines, marks = cells(rows, options.folds)
        examples = [read_examples(group, options) for group in _by_split(rows)]
        page = Page(
            title=f"{' and '.join(dict.fromkeys(run.dataset for run in runs))}: {len(rows)} models",
            facts=[("data", subtitle), *origin(runs), ("written", f"{datetime.now():%Y-%m-%d %H:%M}")],
            notes=notes,
            heads=heads,
            lines=lines,
            marks=marks,
            runs=runs_table(rows, options.folds),
            comparison=comparison,
            baseline=baseline.label,
            test=describe_test(self.significance),
            comparison_notes=not_comparable,
            pictures=[interactive(picture) for picture in pictures],
            curves=draw_curves(rows, options.folds),
            differences=config_differences(rows),
            examples=examples,
        )
        files.append(folder / "report.html")
        write_text(files[-1], render(page))
        if options.show_examples:
            for each in examples:
                print_examples(each)
        return files


def report(config: Mapping[str, Any], folder: Path) -> None:
    """Do `mode=report`.

    Args:
        config: A checked config.
        folder: Where the report goes.

    Raises:
        ConfigError: No runs are named, or found, or an option names what they do not have.
    """
    options = ReportOptions(**config["report"])
    if (options.of is None) == (options.experiment is None):
        raise ConfigError(
            "mode=report needs one of report.of=<folder of runs or sweeps, or a list> and report.experiment=<MLflow experiment>"
        )
    if options.of is not None:
        found = runs_below([Path(path) for path in ([options.of] if isinstance(options.of, str) else options.of)])
    else:
        if config["tracking"]["type"] != "mlflow":
            raise ConfigError("report.experiment needs tracking=mlflow")
        found = runs_of_experiment(config["tracking"]["uri"], str(options.experiment))
    reporter = Reporter(found, options, SignificanceOptions(**config["metrics"]["significance"]), config["seed"], strict=True)
    for run in found.runs:
        import_plugins(run.config["plugins"])
    runs, _ = check_folds(found.runs, options.folds)
    reporter.write(folder)
    rows = rank(make_rows(runs), runs[0].objective, options.folds)
    _write_csv(runs_table(rows, options.folds), folder / "leaderboard.csv")
    console().print(f"Report folder: {folder}", highlight=False, soft_wrap=True)


def report_sweep(folder: Path, config: Mapping[str, Any]) -> list[Path]:
    """Write the report of a sweep into its folder, beside its leaderboard.

    Args:
        folder: The sweep's folder.
        config: The config that the sweep was started with.

    Returns:
        The files; none where no job has finished.
    """
    try:
        found = runs_below([folder])
    except ConfigError:
        return []
    for run in found.runs:
        import_plugins(run.config["plugins"])
    options, significance = ReportOptions(**config["report"]), SignificanceOptions(**config["metrics"]["significance"])
    return Reporter(found, options, significance, config["seed"], strict=False).write(folder)


def describe(runs: Sequence[FinishedRun], folds: Folds) -> str:
    """Data, folds and seeds in a line."""
    data = " and ".join(dict.fromkeys(run.dataset for run in runs))
    used = sorted({fold for run in runs for fold in run.folds}) if folds is None else list(folds)
    seeds = sorted({run.seed for run in runs})
    start = min(run.metrics.filter(pl.col("fold").is_in(used))["test_start"].min() for run in runs)  # type: ignore[type-var]
    end = max(run.metrics.filter(pl.col("fold").is_in(used))["test_end"].max() for run in runs)  # type: ignore[type-var]
    several = "s" if len(used) > 1 else ""
    return (
        f"{data}, fold{several} {', '.join(map(str, used))} ({str(start)[:10]} to {str(end)[:10]}), "
        f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    )


def origin(runs: Sequence[FinishedRun]) -> list[tuple[str, str]]:
    """Program, commits and devices of the runs."""
    found = []
    for name, key in (("recseq", "recseq"), ("commit", "git_commit"), ("device", "device"), ("python", "python")):
        values = dict.fromkeys(str(run.provenance.get(key))[:12] for run in runs if run.provenance.get(key) is not None)
        if values:
            found.append((name, ", ".join(values)))
    return found


def describe_test(options: SignificanceOptions) -> str:
    """How models are compared, in words."""
    test = {"t": "paired t-test", "wilcoxon": "Wilcoxon signed-rank test"}.get(options.test, options.test)
    return f"{options.confidence:.0%} bootstrap, {options.n_resamples:,} resamples of users; {test} over users, p after Holm"


def _by_split(rows: Sequence[Row]) -> list[list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.split_hash, []).append(row)
    return list(groups.values())


def _draw(picture: Picture, path: Path) -> list[Path]:
    files = [path.with_suffix(".html"), path.with_suffix(".png")]
    for file, write in zip(files, (write_html, write_png), strict=True):
        with written_aside(file) as aside:
            write(picture, aside)
    return files


def _write_csv(table: pl.DataFrame, path: Path) -> None:
    with written_aside(path) as aside:
        table.write_csv(aside)
