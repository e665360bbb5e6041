"""The `search` group: kinds of search with their options."""

from abc import ABC
from collections.abc import Mapping
from typing import Annotated, Any

from recseq.options import PositiveFloat, PositiveInt, Range
from recseq.registry import PartOf, Registry
from recseq.sweeps.search.pruners import PRUNERS
from recseq.sweeps.search.samplers import SAMPLERS


class Search(ABC):  # noqa: B024 - what is done lies with the runner; a search is its options
    """Base of kinds of search."""


SEARCHES: Registry[Search] = Registry("search")


@SEARCHES.register("none")
class NoSearch(Search):
    """No search."""


@SEARCHES.register("grid")
class GridSearch(Search):
    """Every combination of a space.

    Args:
        space: See `recseq.sweeps.search.space`.
    """

    def __init__(self, *, space: Mapping[str, Any]) -> None:
        self.space = space


@SEARCHES.register("optuna")
class OptunaSearch(Search):
    """A search by optuna.

    Args:
        space: See `recseq.sweeps.search.space`.
        objectives: Metrics to optimise, with or without cut-off; None takes `metrics.objective`.
        n_trials: Trials in total, those of a resumed study counted.
        timeout: Seconds after which no new trial starts; None sets no limit.
        n_jobs: Trials handed to the launcher at once.
        seed: Of the sampler.
        storage: Database URL, as optuna takes it.
        study_name: Name; None names the study after the sweep's folder.
        sampler: Chooses the next trial.
        pruner: Stops a losing trial.
    """

    def __init__(
        self,
        *,
        space: Mapping[str, Any],
        objectives: list[str] | None,
        n_trials: PositiveInt,
        timeout: PositiveFloat | None,
        n_jobs: PositiveInt,
        seed: Annotated[int, Range(at_least=0, below=2**63)],
        storage: str,
        study_name: str | None,
        sampler: Annotated[Mapping[str, Any], PartOf(SAMPLERS)],
        pruner: Annotated[Mapping[str, Any], PartOf(PRUNERS)],
    ) -> None:
        self.space = space
        self.objectives = objectives
        self.n_trials = n_trials
        self.timeout = timeout
        self.n_jobs = n_jobs
        self.seed = seed
        self.storage = storage
        self.study_name = study_name
        self.sampler_name = str(sampler["type"])
        self.sampler = SAMPLERS.build(sampler)
        self.pruner_node = pruner
        self.pruner = PRUNERS.build(pruner)

    @staticmethod
    def conflicts(options: Mapping[str, Any], where: str) -> list[str]:
        """Options that do not fit each other."""
        objectives = options["objectives"]
        problems = []
        if objectives is not None and (not objectives or len(set(objectives)) < len(objectives)):
            problems.append(f"{where}.objectives is {objectives!r}, must be a list of different metrics, or null")
        if objectives is not None and len(objectives) > 1 and options["pruner"]["type"] != "none":
            problems.append(
                f"{where}/pruner={options['pruner']['type']} stops trials by one objective, {where}.objectives has {len(objectives)}; "
                f"use {where}/pruner=none or a single objective"
            )
        return problems
