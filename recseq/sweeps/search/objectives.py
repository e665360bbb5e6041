"""What a search optimises."""

from collections.abc import Sequence
from dataclasses import dataclass

from recseq.errors import ConfigError
from recseq.group_options import MetricOptions
from recseq.metrics import column_of
from recseq.metrics.summary import SECONDS
from recseq.options import did_you_mean


@dataclass(frozen=True)
class Objective:
    """What is optimised.

    Args:
        column: A metric's column, or seconds.
        maximize: Whether more is better.
    """

    column: str
    maximize: bool


def choose_objectives(names: list[str] | None, metrics: MetricOptions, references: Sequence[str]) -> list[Objective]:
    """Columns and directions of what is to be optimised.

    Args:
        names: Metrics with or without cut-off, or seconds; None takes the run's own objective.
        metrics: The `metrics` group.
        references: Names of reference models.

    Raises:
        ConfigError: A name that is no column.
    """
    known = dict.fromkeys(SECONDS, False) | metrics.scoring().directions(references)
    found = []
    for name in names if names is not None else [metrics.objective_column]:
        column = name if name in SECONDS else column_of(name, metrics.cutoffs)
        if column not in known:
            raise ConfigError(f"search.objectives has {name!r}; {did_you_mean(name, known)}")
        found.append(Objective(column, known[column]))
    return found
