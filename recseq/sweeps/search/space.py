"""What a search varies: parameters, their values, and on what each depends.

A value is kept as the text that an override has on the command line (`32`, `[ids,categories]`, `3e-4`), whatever its source.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from recseq.errors import ConfigError

Assignment = dict[str, str]


@dataclass(frozen=True)
class Parameter:
    """One config key and the values that it may have: choices, or numbers between two bounds.

    Args:
        key: As in an override: `optimizer.lr`, `loss`, `model/objective`, `+loss.extra`.
        choices: Texts to choose from; None for numbers.
        low: Smallest number.
        high: Largest number, included.
        step: Distance between numbers; None for a float is any number, for a whole number 1.
        log: Sampled evenly in the logarithm.
        integer: Whole numbers only.
        when: Takes part only where every key named here has one of the texts beside it.
    """

    key: str
    choices: tuple[str, ...] | None = None
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False
    integer: bool = False
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The key without a sign of addition."""
        return self.key.lstrip("+")

    def text(self, value: Any) -> str:
        """A sampled value as the text of an override."""
        if self.choices is not None:
            return str(value)
        if self.integer:
            return repr(int(value))
        return repr(round(float(value), 12) if self.step is not None else float(value))

    def value(self, text: str) -> str | int | float:
        """The text of an override as a sampler has it."""
        if self.choices is not None:
            return text
        return int(text) if self.integer else float(text)

    def probes(self) -> list[str]:
        """Texts that stand for the parameter when a composition is tried out: every choice, or both bounds."""
        if self.choices is not None:
            return list(self.choices)
        return list(dict.fromkeys([self.text(self.low), self.text(self.high)]))

    def grid(self) -> list[str]:
        """All texts.

        Raises:
            ConfigError: Endlessly many.
        """
        if self.choices is not None:
            return list(self.choices)
        step = self.step if self.step is not None else (1 if self.integer and not self.log else None)
        if step is None:
            raise ConfigError(f"a grid needs the values of {self.name} one by one, but it is an interval; give a list, a step or range()")
        n = int((self.high - self.low) / step + 1e-9) + 1
        return [self.text(round(self.low + i * step, 12)) for i in range(n)]


@dataclass(frozen=True)
class Space:
    """Parameters, each behind those that it depends on."""

    parameters: tuple[Parameter, ...]

    def assign(self, choose: Callable[[Parameter], str]) -> Assignment:
        """Texts of the parameters that take part, chosen one by one; what depends on a choice sees it made."""
        chosen: Assignment = {}
        for parameter in self.parameters:
            if takes_part(parameter, chosen):
                chosen[parameter.name] = choose(parameter)
        return chosen

    def grid(self) -> list[Assignment]:
        """Every combination once; a parameter that does not take part in a combination does not multiply it.

        Raises:
            ConfigError: A parameter with endlessly many values.
        """
        values = {parameter.name: parameter.grid() for parameter in self.parameters}

        def extend(i: int, chosen: Assignment) -> Iterator[Assignment]:
            if i == len(self.parameters):
                yield dict(chosen)
                return
            parameter = self.parameters[i]
            if not takes_part(parameter, chosen):
                yield from extend(i + 1, chosen)
                return
            for text in values[parameter.name]:
                yield from extend(i + 1, {**chosen, parameter.name: text})

        return list(extend(0, {}))

    def samples(self) -> list[Assignment]:
        """A few combinations in which every choice and every bound occurs once at least, to try out before a search starts."""
        by_name = {parameter.name: parameter for parameter in self.parameters}
        found: list[Assignment] = []
        for parameter in self.parameters:
            needed: Assignment = {}
            waiting = [parameter]
            while waiting:
                for key, texts in waiting.pop().when.items():
                    if key not in needed:
                        needed[key] = texts[0]
                        waiting.append(by_name[key])
            for text in parameter.probes():
                wanted = {**needed, parameter.name: text}
                sample = self.assign(lambda other, wanted=wanted: wanted.get(other.name, other.probes()[0]))  # type: ignore[misc]
                if sample not in found:
                    found.append(sample)
        return found

    def overrides(self, assignment: Assignment) -> list[str]:
        """The overrides of a combination."""
        return [f"{parameter.key}={assignment[parameter.name]}" for parameter in self.parameters if parameter.name in assignment]


def takes_part(parameter: Parameter, chosen: Assignment) -> bool:
    """Whether the conditions of a parameter hold; a condition on a parameter that takes no part does not."""
    return all(chosen.get(key) in texts for key, texts in parameter.when.items())
