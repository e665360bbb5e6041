"""What the configs differ in."""

from collections.abc import Sequence
from dataclasses import dataclass

from recseq.report.rows import NO_BLOCKS, Row, varying


@dataclass(frozen=True)
class Differences:
    """Keys that are not the same in all configs; a line is the key and its text in each model, `-` where the model has no such key.

    Args:
        labels: The models.
        values: Keys that have more than one value.
        presence: Keys with one value that only some models have.
    """

    labels: list[str]
    values: list[list[str]]
    presence: list[list[str]]


def config_differences(rows: Sequence[Row]) -> Differences:
    """What varies between the configs of the rows.

    Keys of groups that a model has no use for do not count as its own; references are left out, their configs are not in the runs.
    """
    own = [row for row in rows if not row.is_reference]
    found = Differences([row.label for row in own], [], [])
    for key in varying([row.settings for row in own]):
        if key != "model.name":
            several = len({repr(row.settings[key]) for row in own if key in row.settings}) > 1
            line = [key, *(_text(row.settings[key]) if key in row.settings else NO_BLOCKS for row in own)]
            (found.values if several else found.presence).append(line)
    return found


def _text(value: object) -> str:
    return {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)
