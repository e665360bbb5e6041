"""The hand-computed examples in the docstrings of metrics."""

import doctest
import importlib
import pkgutil

import pytest

import recseq.metrics
from recseq.metrics import METRICS


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(recseq.metrics.__path__)])
def test_examples_of_the_module(name: str) -> None:
    results = doctest.testmod(importlib.import_module(f"recseq.metrics.{name}"))
    assert results.failed == 0


@pytest.mark.parametrize("name", METRICS.names())
def test_every_metric_has_an_example_and_a_reference(name: str) -> None:
    part = METRICS.find(name, "")
    if part.__module__.startswith("recseq."):
        assert ">>>" in (part.__doc__ or "")
        assert "References:" in (part.__doc__ or "")
