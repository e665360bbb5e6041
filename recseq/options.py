"""Types of config options and the check of a value against its annotation.

A registered part says in its constructor what each option may be: `n_blocks: PositiveInt`, `unit: Literal["D", "H"]`.
`problem` turns a value that does not fit into one sentence.
"""

import difflib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union


@dataclass(frozen=True)
class Range:
    """Bounds of a number; `None` is unbounded, `above` and `below` are exclusive."""

    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None

    def __contains__(self, value: float) -> bool:
        return (
            (self.at_least is None or value >= self.at_least)
            and (self.at_most is None or value <= self.at_most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        bounds = ((">=", self.at_least), ("<=", self.at_most), (">", self.above), ("<", self.below))
        return " and ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)


PositiveInt = Annotated[int, Range(at_least=1)]
NonNegativeInt = Annotated[int, Range(at_least=0)]
PositiveFloat = Annotated[float, Range(above=0)]
NonNegativeFloat = Annotated[float, Range(at_least=0)]
Share = Annotated[float, Range(above=0, below=1)]
Probability = Annotated[float, Range(at_least=0, at_most=1)]
DropoutRate = Annotated[float, Range(at_least=0, below=1)]


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """A hint with the allowed word nearest to `word`, or all allowed words where none is near."""
    names = sorted(allowed)
    close = difflib.get_close_matches(word, names, n=1)
    if close:
        return f"did you mean {close[0]!r}? Allowed: {', '.join(names)}"
    return f"allowed: {', '.join(names)}" if names else "nothing is allowed here"


def problem(value: Any, annotation: Any) -> str | None:
    """What is wrong with `value` for `annotation`, or None.

    Understands int, float, bool, str, None, Any, Literal, unions, list/Sequence/tuple, dict/Mapping and `Annotated[..., Range]`.
    Other annotations (objects that the code passes in) are not checked.
    """
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        inner, *marks = typing.get_args(annotation)
        wrong = problem(value, inner)
        if wrong is None:
            for mark in marks:
                if isinstance(mark, Range) and isinstance(value, (int, float)) and value not in mark:
                    return f"is {value!r}, must be {mark}"
        return wrong
    if origin is Literal:
        choices = typing.get_args(annotation)
        if value in choices:
            return None
        return f"is {value!r}; {did_you_mean(str(value), [str(choice) for choice in choices])}"
    if origin in (Union, types.UnionType):
        wrongs = [problem(value, choice) for choice in typing.get_args(annotation)]
        if None in wrongs:
            return None
        return min((wrong for wrong in wrongs if wrong), key=lambda wrong: "must be a" in wrong or "must be empty" in wrong)
    if annotation is bool:
        return None if isinstance(value, bool) else f"is {value!r}, must be true or false"
    if annotation is int:
        return None if isinstance(value, int) and not isinstance(value, bool) else f"is {value!r}, must be a whole number"
    if annotation is float:
        ok = isinstance(value, (int, float)) and not isinstance(value, bool)
        return None if ok else f"is {value!r}, must be a number"
    if annotation is str:
        return None if isinstance(value, str) else f"is {value!r}, must be a text"
    if annotation is type(None):
        return None if value is None else f"is {value!r}, must be empty (null)"
    if origin in (list, tuple, Sequence) or (isinstance(origin, type) and issubclass(origin, Sequence)):
        if isinstance(value, str) or not isinstance(value, Sequence):
            return f"is {value!r}, must be a list"
        element = (typing.get_args(annotation) or (Any,))[0]
        return next((f"has an element that {wrong}" for item in value if (wrong := problem(item, element))), None)
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return None if isinstance(value, Mapping) else f"is {value!r}, must be a mapping (key: value)"
    return None
