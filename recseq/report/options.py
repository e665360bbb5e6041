"""What a report shows: the `report` group."""

from dataclasses import dataclass
from typing import Any

from recseq.options import NonNegativeInt, PositiveInt


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """The `report` group.

    Args:
        of: Folders of runs, of sweeps, or above them; only under mode=report.
        experiment: MLflow experiment whose runs are taken instead; only under mode=report.
        folds: Folds that means are taken over; None takes all of a run.
        x: Metric, or seconds, across the picture.
        y: Metric, or seconds, up the picture.
        color: What the picture is coloured by: `model`, `item_net`, or a config key.
        baseline: The model that the others are tested against; `best` is the best by the runs' objective.
        users: How many test users are shown, or their ids.
        items: How many of the most popular items are shown with their neighbours, or their ids.
        k: Length of the lists and histories that are shown.
        show_examples: Show recommendations in the terminal too.
    """

    of: str | list[str] | None
    experiment: str | None
    folds: list[NonNegativeInt] | None
    x: str
    y: str
    color: str
    baseline: str
    users: NonNegativeInt | list[Any]
    items: NonNegativeInt | list[Any]
    k: PositiveInt
    show_examples: bool
