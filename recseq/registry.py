"""Named parts: register a class under a name, check a config node against its constructor, build it."""

import importlib
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from recseq.errors import ConfigError
from recseq.options import did_you_mean, problem

T = TypeVar("T")
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Registry(Generic[T]):
    """Parts of one kind by name, with the one way from a config node to an object.

    A config node is a mapping with the key `type` (a registered name, or a dotted path `package.module.Class`) and the
    options of that class's constructor. Constructors are keyword-only: what is in YAML comes from there, what the flow
    knows (`provided`, for example `n_factors`) is passed by the builder to the constructors that name it.

    Args:
        kind: What the parts are, for messages: "loss".
        provided: Names that the builder passes in; they are no options of a config node.
        of_flow: Keys that a config node may have for the flow around the part, not for its constructor, and their types.
    """

    def __init__(self, kind: str, provided: tuple[str, ...] = (), of_flow: Mapping[str, Any] | None = None) -> None:
        self.kind = kind
        self.provided = provided
        self.of_flow = of_flow or {}
        self._parts: dict[str, type[T]] = {}

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Class decorator that makes a class known under `name`.

        Raises:
            ValueError: The name is taken by another class.
        """

        def add(part: type[T]) -> type[T]:
            taken = self._parts.get(name)
            if taken is not None and (taken.__module__, taken.__qualname__) != (part.__module__, part.__qualname__):
                raise ValueError(f"{self.kind} {name!r} is registered already, by {taken.__module__}.{taken.__qualname__}")
            self._parts[name] = part
            return part

        return add

    def names(self) -> list[str]:
        """Registered names, sorted."""
        return sorted(self._parts)

    def items(self) -> Iterator[tuple[str, type[T]]]:
        """Pairs of name and class, sorted by name."""
        return iter(sorted(self._parts.items()))

    def find(self, name: Any, where: str) -> type[T]:
        """The class of a name or dotted path.

        Raises:
            ConfigError: No such part; the message lists the names.
        """
        if isinstance(name, str) and name in self._parts:
            return self._parts[name]
        if isinstance(name, str) and "." in name:
            module, _, attribute = name.rpartition(".")
            try:
                part = getattr(importlib.import_module(module), attribute)
            except (ImportError, AttributeError) as error:
                raise ConfigError(f"{where} is {name!r}, which cannot be imported: {error}") from None
            if not inspect.isclass(part):
                raise ConfigError(f"{where} is {name!r}, which is not a class")
            return typing.cast("type[T]", part)
        raise ConfigError(f"{where} is {name!r}, no such {self.kind}; {did_you_mean(str(name), self.names())}")

    def check(self, node: Any, where: str) -> list[str]:
        """Every problem of a config node, each with its config path; empty when it can be built.

        Args:
            node: The config node, plain Python.
            where: Its config path, for messages.
        """
        if not isinstance(node, Mapping):
            return [f"{where} is {node!r}, must be a mapping with the key 'type'"]
        if "type" not in node:
            return [f"{where}.type is missing; {did_you_mean('', self.names())}"]
        try:
            part = self.find(node["type"], f"{where}.type")
        except ConfigError as error:
            return [str(error)]
        problems = [f"{where}.{key} {wrong}" for key, kind in self.of_flow.items() if key in node and (wrong := problem(node[key], kind))]
        options = self._options(node)
        problems += check_options(part, options, where, self.provided)
        conflicts = getattr(part, "conflicts", None)  # a part may refuse options that fit their types but not each other
        return problems or (conflicts(options, where) if conflicts else [])

    def build(self, node: Mapping[str, Any], **context: Any) -> T:
        """Build the part that a (checked) config node describes.

        Args:
            node: The config node, plain Python.
            context: What the flow provides; each constructor receives the names it has.
        """
        part = self.find(node["type"], f"the type of a {self.kind}")
        accepted = signature_of(part)
        given = {name: value for name, value in context.items() if name in accepted}
        return part(**self._options(node), **given)

    def _options(self, node: Mapping[str, Any]) -> dict[str, Any]:
        """What of a config node is for the constructor."""
        return {key: value for key, value in node.items() if key != "type" and key not in self.of_flow}


@dataclass(frozen=True)
class PartOf:
    """Annotation mark of an option that is itself a config node: `Annotated[Mapping[str, Any], PartOf(LOSSES)]`."""

    registry: Registry[Any]


def signature_of(part: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Named parameters of a constructor or function, without `self`.

    A constructor that takes `**rest` hands it to its base class, so the base's parameters are its own too.
    """
    found: dict[str, inspect.Parameter] = {}
    for function in _functions_of(part):
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind not in VARIADIC and name != "self":
                found.setdefault(name, parameter)
    return found


def _functions_of(part: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """The function, or a class's own constructor and those that it hands `**rest` on to."""
    if not inspect.isclass(part):
        yield part
        return
    for owner in part.__mro__:
        function = vars(owner).get("__init__")
        if function is None or owner is object:
            continue
        yield function
        kinds = {parameter.kind for parameter in inspect.signature(function).parameters.values()}
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            return


def check_options(part: Callable[..., Any], options: Mapping[str, Any], where: str, provided: tuple[str, ...] = ()) -> list[str]:
    """Problems of `options` as keyword arguments of `part`: unknown, missing, of the wrong type or out of range.

    Args:
        part: A class or a function.
        options: Names and values, as the config has them.
        where: Config path of the options, for messages; empty at the top.
        provided: Parameters that the caller passes itself.
    """
    parameters = signature_of(part)
    hints: dict[str, Any] = {}
    for function in _functions_of(part):
        hints = _hints_of(function) | hints
    allowed = [name for name in parameters if name not in provided]
    prefix = f"{where}." if where else ""
    problems = [f"{prefix}{name} is not an option here; {did_you_mean(name, allowed)}" for name in options if name not in allowed]
    for name in allowed:
        if name in options:
            value = options[name]
            if value == "???":
                problems.append(f"{prefix}{name} must be set: {prefix}{name}=...")
            elif (registry := _registry_of(hints.get(name))) is not None:
                problems.extend(registry.check(value, f"{prefix}{name}"))
            elif (wrong := problem(value, hints.get(name, Any))) is not None:
                problems.append(f"{prefix}{name} {wrong}")
        elif parameters[name].default is inspect.Parameter.empty:
            problems.append(f"{prefix}{name} is missing")
    return problems


def _hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Types of a function's parameters; none where its module names types that it imports for type checkers only."""
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError:
        return {}


def _registry_of(hint: Any) -> Registry[Any] | None:
    marks = typing.get_args(hint)[1:] if typing.get_origin(hint) is Annotated else ()
    return next((mark.registry for mark in marks if isinstance(mark, PartOf)), None)
