"""Spaces from YAML and from the command line: every kind of parameter, conditions, grids, and what is refused."""

import itertools
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from recseq.errors import ConfigError
from recseq.sweeps.search.space import Space
from recseq.sweeps.search.space_parsing import as_text, parse_space
from recseq.sweeps.search.study import distribution_of

GROUPS = {"loss": "softmax", "model": "sasrec", "optimizer.lr": "0.001"}


def space(node: dict[str, Any] | None = None, *overrides: str) -> Space:
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    fixed = {o.get_key_element().lstrip("+"): str(o.get_value_element_as_str()) for o in parsed if not o.is_sweep_override()}
    return parse_space(node or {}, [o for o in parsed if o.is_sweep_override()], fixed, GROUPS.get)


def only(found: Space) -> Any:
    (parameter,) = found.parameters
    return distribution_of(parameter)


@pytest.mark.parametrize(
    ("override", "distribution"),
    [
        ("loss=softmax,gbce", CategoricalDistribution(["softmax", "gbce"])),
        ("loss=choice(softmax,gbce)", CategoricalDistribution(["softmax", "gbce"])),
        ("item_net=[ids],[ids,categories]", CategoricalDistribution(["[ids]", "[ids,categories]"])),
        ("model.n_factors=32,64,32", CategoricalDistribution(["32", "64"])),
        ("model.n_blocks=range(1,4)", IntDistribution(1, 3)),
        ("model.n_blocks=range(2,9,3)", IntDistribution(2, 8, step=3)),
        ("model.n_blocks=range(9,2,-3)", IntDistribution(3, 9, step=3)),
        ("model.dropout_rate=range(0.1,0.45,0.1)", FloatDistribution(0.1, 0.4, step=0.1)),
        ("optimizer.lr=interval(0.0001,0.01)", FloatDistribution(0.0001, 0.01)),
        ("optimizer.lr=tag(log,interval(1e-4,1e-2))", FloatDistribution(0.0001, 0.01, log=True)),
        ("loss.n_negatives=int(interval(16,256))", IntDistribution(16, 256)),
        ("loss.n_negatives=tag(log,int(interval(16,256)))", IntDistribution(16, 256, log=True)),
        ("loss.n_negatives=tag(log,range(16,257))", IntDistribution(16, 256, log=True)),
        ("+loss.n_negatives=16,32", CategoricalDistribution(["16", "32"])),
    ],
)
def test_every_kind_of_sweep_on_the_command_line(override: str, distribution: Any) -> None:
    assert only(space(None, override)) == distribution


@pytest.mark.parametrize(
    ("node", "distribution"),
    [
        ([32, 64], CategoricalDistribution(["32", "64"])),
        ([["ids"], ["ids", "categories"]], CategoricalDistribution(["[ids]", "[ids,categories]"])),
        ({"values": [True, None, "7D", "true"]}, CategoricalDistribution(["True", "null", "7D", "'true'"])),
        ({"low": 1, "high": 4}, IntDistribution(1, 4)),
        ({"low": 16, "high": 256, "log": True}, IntDistribution(16, 256, log=True)),
        ({"low": 0.0, "high": 0.5}, FloatDistribution(0, 0.5)),
        ({"low": 0, "high": 0.5, "step": 0.2}, FloatDistribution(0, 0.4, step=0.2)),
        ({"low": 1e-4, "high": 1e-2, "log": True}, FloatDistribution(1e-4, 1e-2, log=True)),
        ("tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
    ],
)
def test_every_form_in_yaml(node: Any, distribution: Any) -> None:
    assert only(space({"optimizer.lr": node})) == distribution
    assert only(space({"optimizer": {"lr": node}})) == distribution


@pytest.mark.parametrize(
    "value", ["7D", "true", "null", "32", "it's", "a,b", "a b", "", "x=1", [1, "a"], {"a": [1, "true"]}, None, 0.1, True]
)
def test_a_yaml_value_survives_as_the_text_of_an_override(value: Any) -> None:
    (override,) = OverridesParser.create().parse_overrides([f"key={as_text(value)}"])
    assert not override.is_sweep_override()
    assert override.value() == value
    assert type(override.value()) is type(value)


CONDITIONAL = {
    "loss.n_negatives": {"values": [16, 64], "when": {"loss": ["bce", "gbce"]}},
    "loss.gbce_t": {"values": [0.2, 0.8], "when": {"loss": "gbce"}},
    "loss": ["softmax", "bce", "gbce"],
}


def test_conditions_decide_who_takes_part() -> None:
    combinations = space(CONDITIONAL).grid()
    assert combinations == [
        {"loss": "softmax"},
        *({"loss": "bce", "loss.n_negatives": n} for n in ("16", "64")),
        *({"loss": "gbce", "loss.n_negatives": n, "loss.gbce_t": t} for n, t in itertools.product(("16", "64"), ("0.2", "0.8"))),
    ]
    assert space(CONDITIONAL).overrides(combinations[3]) == ["loss=gbce", "loss.n_negatives=16", "loss.gbce_t=0.2"]


def test_a_condition_on_what_is_fixed_is_decided_at_once() -> None:
    assert space(CONDITIONAL, "loss=softmax", "seed=1,2").grid() == [{"seed": "1"}, {"seed": "2"}]
    assert [p.name for p in space(CONDITIONAL, "loss=bce").parameters] == ["loss.n_negatives"]
    narrowed = space(CONDITIONAL, "loss=softmax,bce")
    assert [p.name for p in narrowed.parameters] == ["loss", "loss.n_negatives"]
    assert len(narrowed.grid()) == 3
    by_default = {"loss.gbce_t": {"values": [0.2, 0.8], "when": {"loss": "softmax"}}}  # the composed config has softmax
    assert len(space(by_default).grid()) == 2


def test_a_condition_on_a_conditional_parameter() -> None:
    node = {
        "b": {"values": [1, 2], "when": {"a": [1]}},
        "c": {"values": [1, 2], "when": {"b": [2]}},
        "a": [0, 1],
    }
    assert space(node).grid() == [{"a": "0"}, {"a": "1", "b": "1"}, {"a": "1", "b": "2", "c": "1"}, {"a": "1", "b": "2", "c": "2"}]


def test_a_command_line_stands_for_the_yaml_entry_and_keeps_its_condition() -> None:
    found = space(CONDITIONAL, "loss.n_negatives=range(1,4)")
    assert {len(a) for a in found.grid() if a["loss"] == "softmax"} == {1}
    assert [a["loss.n_negatives"] for a in found.grid() if a["loss"] == "bce"] == ["1", "2", "3"]


def test_samples_try_every_choice_and_bound_once() -> None:
    node = CONDITIONAL | {"optimizer.lr": {"low": 0.1, "high": 0.2}}
    seen = {(key, text) for sample in space(node).samples() for key, text in sample.items()}
    assert seen == {
        *(("loss", text) for text in ("softmax", "bce", "gbce")),
        *(("loss.n_negatives", text) for text in ("16", "64")),
        *(("loss.gbce_t", text) for text in ("0.2", "0.8")),
        *(("optimizer.lr", text) for text in ("0.1", "0.2")),
    }
    for sample in space(node).samples():
        assert ("loss.n_negatives" in sample) == (sample["loss"] in ("bce", "gbce"))


def test_grid_of_numbers() -> None:
    assert [a["x"] for a in space({"x": {"low": 0, "high": 0.5, "step": 0.1}}).grid()] == ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5"]
    assert [a["x"] for a in space({"x": {"low": 1, "high": 3}}).grid()] == ["1", "2", "3"]
    with pytest.raises(ConfigError, match=r"x one by one, but it is an interval; give a list, a step or range"):
        space({"x": {"low": 0.1, "high": 1.0}}).grid()


@pytest.mark.parametrize(
    ("node", "overrides", "message"),
    [
        ({"optimizer.lr": 0.1}, (), r"search\.space\.optimizer\.lr is 0\.1, must be one of \[a, b\]"),
        ({"optimizer.lr": "0.1"}, (), r"a single value"),
        ({"optimizer.lr": []}, (), r"must be a list of values"),
        ({"optimizer.lr": {"low": 1, "hihg": 2}}, (), r"hihg is not an option here; did you mean 'high'"),
        ({"optimizer.lr": {"low": 1}}, (), r"lr\.high is None, must be a number"),
        ({"optimizer.lr": {"low": "1", "high": 2}}, (), r"lr\.low is '1', must be a number"),
        ({"optimizer.lr": {"low": 2, "high": 1}}, (), r"low is 2, which is above high, 1"),
        ({"optimizer.lr": {"low": 0, "high": 1, "log": True}}, (), r"low is 0, must be > 0 with log"),
        ({"optimizer.lr": {"low": 1, "high": 5, "log": True, "step": 2}}, (), r"log and a step exclude each other"),
        ({"optimizer.lr": {"low": 1, "high": 5, "step": 0}}, (), r"step is 0, must be > 0"),
        ({"a": {"values": [1], "when": {"lsos": "bce"}}, "loss": ["bce"]}, (), r"no 'lsos'.*did you mean 'loss'"),
        ({"a": {"values": [1], "when": {"loss": "bcee"}}, "loss": ["bce"]}, (), r"has 'bcee'; did you mean 'bce'"),
        ({"a": {"values": [1], "when": ["bce"]}}, (), r"must be a mapping"),
        ({"a": {"values": [1], "when": {"b": 1}}, "b": {"values": [1], "when": {"a": 1}}}, (), r"a, b go in a circle"),
        ({}, ("x=tag(lgo,interval(1,2))",), r"tag is lgo; allowed: log"),
        ({}, ("x=tag(log,range(1,9,2))",), r"log and a step"),
        ({}, ("x=tag(log,choice(1,2))",), r"log is for interval"),
        ({}, ("x=tag(log,interval(0,2))",), r"must be > 0 with log"),
        ({}, ("x=range(4,4)",), r"holds no value"),
    ],
)
def test_what_is_no_space_is_refused_with_its_place(node: dict[str, Any], overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        space(node, *overrides)
