"""What the configs differ in."""

from collections.abc import Sequence

from recseq.report.rows import NO_BLOCKS, Row, varying


def config_differences(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Keys that are not the same in all configs.

    Keys of groups that a model has no use for do not count as its own; references are left out, their configs are not in the runs.

    Returns:
        Labels of the models, and one line a key: its path and its value in each model, `-` where it has no effect.
    """
    own = [row for row in rows if not row.is_reference]
    settings = [row.settings for row in own]
    keys = [key for key in varying(settings) if key != "model.name"]
    return [row.label for row in own], [[key, *(_text(each[key]) if key in each else NO_BLOCKS for each in settings)] for key in keys]


def _text(value: object) -> str:
    return {None: "null", True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool | None) else str(value)
