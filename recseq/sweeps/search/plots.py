"""Pictures of a study: history, importance, Pareto front, how trials went; one page that needs no network, and PNGs."""

import logging
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import optuna
import plotly.io
from optuna.trial import TrialState

from recseq.files import write_text, written_aside
from recseq.sweeps.search.trial import step_name

log = logging.getLogger(__name__)


def draw(study: optuna.Study, columns: Sequence[str], folder: Path) -> list[Path]:
    """Write `search.html` and `search_<picture>.png`; a picture that cannot be drawn is left out and said so.

    Args:
        study: With finished trials.
        columns: Names of the objectives.
        folder: Where to.

    Returns:
        The files.
    """
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        return []
    parts: list[str] = []
    files: list[Path] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for title, figure in _figures(study, columns).items():
            drawn = _attempt(title, figure)
            if drawn is not None and drawn.data:
                drawn.update_layout(title=title)
                parts.append(plotly.io.to_html(drawn, include_plotlyjs=not parts, full_html=False, default_height="520px"))
        for name, axes in _pictures(study, columns).items():
            path = folder / f"search_{name}.png"
            if _attempt(name, partial(_save, axes, path)):
                files.append(path)
    if parts:
        head = f"<!doctype html><meta charset=utf-8><title>{escape(study.study_name)}</title><h1>Study {escape(study.study_name)}</h1>"
        write_text(folder / "search.html", head + "\n".join(parts))
        files.insert(0, folder / "search.html")
    return files


def _figures(study: optuna.Study, columns: Sequence[str]) -> dict[str, Callable[[], Any]]:
    from optuna import visualization as plots

    found: dict[str, Callable[[], Any]] = {}
    if len(columns) in (2, 3):
        found["Pareto front"] = lambda: plots.plot_pareto_front(study, target_names=list(columns))
    for i, column in enumerate(columns):
        about: dict[str, Any] = {"target": _target(i, len(columns)), "target_name": column}
        found |= {
            f"History of {column}": partial(plots.plot_optimization_history, study, **about),
            f"Importance for {column}": partial(plots.plot_param_importances, study, **about),
            f"Parameters and {column}": partial(plots.plot_parallel_coordinate, study, **about),
        }
    if study.get_trials(deepcopy=False, states=(TrialState.PRUNED,)):
        found["Values on the way, what pruning compares"] = partial(_on_the_way, study)
    return found


def _on_the_way(study: optuna.Study) -> Any:
    """A line a trial over folds and epochs; pruned ones are dashed."""
    from plotly.graph_objects import Figure, Scatter

    figure = Figure()
    trials = study.get_trials(deepcopy=False)
    steps = sorted({step for trial in trials for step in trial.intermediate_values})
    for trial in trials:
        at = [step for step in steps if step in trial.intermediate_values]
        line = {"dash": "dash" if trial.state == TrialState.PRUNED else "solid"}
        values = [trial.intermediate_values[step] for step in at]
        figure.add_trace(
            Scatter(x=[step_name(step) for step in at], y=values, line=line, name=f"trial {trial.number}", mode="lines+markers")
        )
    figure.update_xaxes(categoryorder="array", categoryarray=[step_name(step) for step in steps])
    return figure


def _pictures(study: optuna.Study, columns: Sequence[str]) -> dict[str, Callable[[], Any]]:
    import matplotlib as mpl

    mpl.use("Agg")
    from optuna.visualization import matplotlib as plots

    about: dict[str, Any] = {"target": _target(0, len(columns)), "target_name": columns[0]}
    found: dict[str, Callable[[], Any]] = {
        "history": partial(plots.plot_optimization_history, study, **about),
        "importance": partial(plots.plot_param_importances, study, **about),
    }
    if len(columns) in (2, 3):
        found["pareto"] = lambda: plots.plot_pareto_front(study, target_names=list(columns))
    return found


def _target(i: int, n: int) -> Callable[[Any], float] | None:
    return (lambda trial: trial.values[i]) if n > 1 else None


def _save(make: Callable[[], Any], path: Path) -> bool:
    import matplotlib.pyplot as plt

    axes = make()
    with written_aside(path) as aside:
        axes.figure.savefig(aside, dpi=150, bbox_inches="tight", format="png")
    plt.close(axes.figure)
    return True


def _attempt(name: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Exception as error:
        log.info("no picture of %s: %s", name, str(error).splitlines()[0] if str(error) else type(error).__name__)
        return None
