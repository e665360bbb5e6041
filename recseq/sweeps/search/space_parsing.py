"""Reads a space: from YAML, and from the overrides of the command line in Hydra's grammar."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, QuotedString, RangeSweep, Transformer
from hydra.errors import HydraException

from recseq.errors import ConfigError
from recseq.options import did_you_mean
from recseq.sweeps.search.space import Parameter, Space

NUMBERS = ("low", "high", "log", "step", "when")
CHOICE = ("values", "when")
FORMS = "[a, b], {values: [a, b]}, {low: 1, high: 8}, {low: 1e-4, high: 1e-2, log: true}, or the text of an override: range(1,4)"

Lookup = Callable[[str], str | None]


def parse_space(node: Mapping[str, Any], sweeps: Sequence[Override], fixed: Mapping[str, str], lookup: Lookup) -> Space:
    """The space of a YAML node and of sweep overrides; an override stands for the YAML entry of its key, whose `when` it keeps.

    Args:
        node: `search.space`, plain Python; keys may be nested or dotted.
        sweeps: Overrides with more than one value.
        fixed: Texts of overrides with one value by key; such a key is not searched.
        lookup: Text of a key in the config as composed, None where there is no such key.

    Raises:
        ConfigError: Every problem found.
    """
    problems: list[str] = []
    found: dict[str, Parameter] = {}
    for key, value in _flat(node):
        try:
            parameter = _from_yaml(key, value)
        except ConfigError as error:
            problems.append(str(error))
        else:
            found[parameter.name] = parameter
    for override in sweeps:
        try:
            parameter = from_override(override)
        except ConfigError as error:
            problems.append(str(error))
        else:
            earlier = found.get(parameter.name)
            found[parameter.name] = replace(parameter, when=earlier.when) if earlier is not None else parameter
    found = {name: parameter for name, parameter in found.items() if name not in fixed}
    found, more = _conditions(found, fixed, lookup, {override.get_key_element().lstrip("+") for override in sweeps})
    problems += more
    if not problems:
        ordered, problems = _parents_first(found)
    if problems:
        raise ConfigError.from_problems(problems)
    return Space(tuple(ordered))


def from_override(override: Override) -> Parameter:
    """The parameter of a sweep override: `a,b`, `choice()`, `glob()`, `range()`, `interval()`, with `tag(log, ...)` and casts.

    Raises:
        ConfigError: Bounds that hold nothing, a tag that is not known, `log` with a step.
    """
    key, value, where = override.get_key_element(), override.value(), str(override.input_line)
    tags: set[str] = getattr(value, "tags", set())
    if tags - {"log"}:
        raise ConfigError(f"{where}: tag is {', '.join(sorted(tags - {'log'}))}; allowed: log")
    if isinstance(value, IntervalSweep):
        assert value.start is not None
        assert value.end is not None
        integer = isinstance(value.start, int) and isinstance(value.end, int)
        return _numbers(where, Parameter(key, low=value.start, high=value.end, log="log" in tags, integer=integer))
    if isinstance(value, RangeSweep) and not value.shuffle:
        numbers = sorted(float(number) for number in value.range())
        if not numbers:
            raise ConfigError(f"{where} holds no value: the stop of a range is left out")
        integer = all(isinstance(bound, int) for bound in (value.start, value.stop, value.step))
        if "log" in tags and abs(value.step) != 1:
            raise ConfigError(f"{where}: log and a step exclude each other")
        step = None if "log" in tags else abs(value.step)
        return _numbers(where, Parameter(key, low=numbers[0], high=numbers[-1], step=step, log="log" in tags, integer=integer))
    if tags:
        raise ConfigError(f"{where}: log is for interval() and range()")
    try:
        texts = tuple(dict.fromkeys(override.sweep_string_iterator()))
    except HydraException as error:
        raise ConfigError(f"{where}: {error}") from None
    if not texts:
        raise ConfigError(f"{where} holds no value")
    return Parameter(key, choices=texts)


def as_text(value: Any) -> str:
    """A YAML value as the text of an override that gives it back: a text that reads as a number is quoted."""
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(as_text(element) for element in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{as_text(key)}:{as_text(element)}" for key, element in value.items()) + "}"
    text: str = Transformer.str(value)
    if isinstance(value, str):
        try:
            (parsed,) = OverridesParser.create().parse_overrides([f"key={text}"])
            same = not parsed.is_sweep_override() and parsed.value() == value
        except HydraException:
            same = False
        if not same:
            text = QuotedString(value, quote=_single_quote()).with_quotes()
    return text


def _single_quote() -> Any:
    (parsed,) = OverridesParser.create().parse_overrides(["key='a'"])
    return parsed._value.quote  # type: ignore[union-attr]


def _flat(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Entries of a space; a mapping that is no parameter is a part of the key."""
    for key, value in node.items():
        if isinstance(value, Mapping) and value and not set(value) & {*NUMBERS, *CHOICE}:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _from_yaml(key: str, node: Any) -> Parameter:
    where = f"search.space.{key}"
    if isinstance(node, str):
        try:
            (override,) = OverridesParser.create().parse_overrides([f"{key}={node}"])
        except HydraException as error:
            raise ConfigError(f"{where} is {node!r}, which is no override: {str(error).splitlines()[0]}") from None
        if not override.is_sweep_override():
            raise ConfigError(f"{where} is {node!r}, a single value; must be one of {FORMS}")
        return from_override(override)
    if isinstance(node, list):
        node = {"values": node}
    if not isinstance(node, Mapping):
        raise ConfigError(f"{where} is {node!r}, must be one of {FORMS}")
    allowed = CHOICE if "values" in node else NUMBERS
    for option in node:
        if option not in allowed:
            raise ConfigError(f"{where}.{option} is not an option here; {did_you_mean(str(option), allowed)}")
    when = _when(f"{where}.when", node.get("when", {}))
    if "values" in node:
        values = node["values"]
        if not isinstance(values, list) or not values:
            raise ConfigError(f"{where} is {values!r}, must be a list of values")
        return Parameter(key, choices=tuple(dict.fromkeys(as_text(value) for value in values)), when=when)
    for bound in ("low", "high", "step"):
        value = node.get(bound)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            if bound == "step" and value is None:
                continue
            raise ConfigError(f"{where}.{bound} is {value!r}, must be a number")
    low, high, step, log = node["low"], node["high"], node.get("step"), node.get("log", False)
    if not isinstance(log, bool):
        raise ConfigError(f"{where}.log is {log!r}, must be true or false")
    integer = isinstance(low, int) and isinstance(high, int) and (step is None or isinstance(step, int))
    return _numbers(where, Parameter(key, low=low, high=high, step=step, log=log, integer=integer, when=when))


def _when(where: str, node: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(node, Mapping):
        raise ConfigError(f"{where} is {node!r}, must be a mapping: {{loss: [bce, gbce]}}")
    return {str(key): tuple(as_text(value) for value in (values if isinstance(values, list) else [values])) for key, values in node.items()}


def _numbers(where: str, parameter: Parameter) -> Parameter:
    low, high, step, log = parameter.low, parameter.high, parameter.step, parameter.log
    if not low <= high:
        raise ConfigError(f"{where}: low is {low}, which is above high, {high}")
    if log and low <= 0:
        raise ConfigError(f"{where}: low is {low}, must be > 0 with log")
    if log and step is not None:
        raise ConfigError(f"{where}: log and a step exclude each other")
    if step is not None and step <= 0:
        raise ConfigError(f"{where}: step is {step}, must be > 0")
    if step is not None:  # the last number that a step reaches
        high = round(low + int((high - low) / step + 1e-9) * step, 12)
    number = int if parameter.integer else float
    return replace(parameter, low=number(low), high=number(high), step=None if step is None else number(step))


def _conditions(
    found: Mapping[str, Parameter], fixed: Mapping[str, str], lookup: Lookup, typed: set[str]
) -> tuple[dict[str, Parameter], list[str]]:
    """Conditions on keys that are not searched are decided here: they hold, or the parameter is left out."""
    kept: dict[str, Parameter] = {}
    problems = []
    for name, parameter in found.items():
        when: dict[str, tuple[str, ...]] = {}
        holds = True
        for key, texts in parameter.when.items():
            where = f"search.space.{name}.when.{key}"
            if key in found:
                choices = found[key].choices
                unknown = [text for text in texts if choices is not None and text not in choices]
                if unknown and key not in typed:
                    problems.append(f"{where} has {unknown[0]!r}; {did_you_mean(unknown[0], choices or ())}")
                when[key] = tuple(text for text in texts if text not in unknown)  # the command line may have left fewer choices
                holds = holds and bool(when[key])
                continue
            current = fixed[key] if key in fixed else lookup(key)
            if current is None:
                problems.append(f"{where}: the config has no {key!r}, and the space does not search it; {did_you_mean(key, found)}")
            elif current not in texts:
                holds = False
        if holds:
            kept[name] = replace(parameter, when=when)
    return kept, problems


def _parents_first(found: Mapping[str, Parameter]) -> tuple[list[Parameter], list[str]]:
    ordered: dict[str, Parameter] = {}
    left = dict(found)
    while left:
        ready = [name for name, parameter in left.items() if all(key in ordered for key in parameter.when)]
        if not ready:
            gone = [name for name, parameter in left.items() if any(key not in ordered and key not in left for key in parameter.when)]
            if not gone:
                return [], [f"search.space: the conditions of {', '.join(left)} go in a circle"]
            for name in gone:  # it hangs on a parameter that never takes part
                del left[name]
            continue
        ordered[ready[0]] = left.pop(ready[0])
    return list(ordered.values()), []
