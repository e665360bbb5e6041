"""The `search` group: kinds of search, samplers and pruners, each with its own options.

Nothing here imports optuna before it is used.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from recseq.options import NonNegativeInt, PositiveFloat, PositiveInt, Range
from recseq.registry import PartOf, Registry
from recseq.sweeps.search.space import Space

if TYPE_CHECKING:
    import optuna

AtLeastTwo = Annotated[int, Range(at_least=2)]


class Sampler(ABC):
    """Base of ways to choose the next trial."""

    @abstractmethod
    def build(self, seed: int) -> "optuna.samplers.BaseSampler":
        """Optuna's sampler."""

    def refuse(self, space: Space, n_objectives: int) -> list[str]:
        """Why the sampler cannot search a space; empty when it can."""
        return []


SAMPLERS: Registry[Sampler] = Registry("sampler")


@SAMPLERS.register("tpe")
class TPE(Sampler):
    """Tree-structured Parzen estimator, for one objective or several.

    Args:
        n_startup_trials: Random trials first.
        multivariate: Model parameters together, in groups that take part together.

    References:
        Bergstra et al., 2011, "Algorithms for Hyper-Parameter Optimization".
    """

    def __init__(self, *, n_startup_trials: NonNegativeInt, multivariate: bool) -> None:
        self.n_startup_trials = n_startup_trials
        self.multivariate = multivariate

    def build(self, seed: int) -> "optuna.samplers.BaseSampler":
        """See `Sampler.build`."""
        import optuna

        return optuna.samplers.TPESampler(
            n_startup_trials=self.n_startup_trials, multivariate=self.multivariate, group=self.multivariate, seed=seed
        )


@SAMPLERS.register("random")
class RandomDraws(Sampler):
    """Independent draws."""

    def build(self, seed: int) -> "optuna.samplers.BaseSampler":
        """See `Sampler.build`."""
        import optuna

        return optuna.samplers.RandomSampler(seed=seed)


@SAMPLERS.register("cmaes")
class CmaEs(Sampler):
    """Covariance matrix adaptation; what is not a number, or is conditional, is drawn at random.

    Args:
        n_startup_trials: Random trials first.

    References:
        Hansen and Ostermeier, 2001, "Completely Derandomized Self-Adaptation in Evolution Strategies".
    """

    def __init__(self, *, n_startup_trials: NonNegativeInt) -> None:
        self.n_startup_trials = n_startup_trials

    def build(self, seed: int) -> "optuna.samplers.BaseSampler":
        """See `Sampler.build`."""
        import optuna

        return optuna.samplers.CmaEsSampler(n_startup_trials=self.n_startup_trials, warn_independent_sampling=False, seed=seed)

    def refuse(self, space: Space, n_objectives: int) -> list[str]:
        """See `Sampler.refuse`."""
        numbers = [parameter.name for parameter in space.parameters if parameter.choices is None and not parameter.when]
        problems = []
        if n_objectives > 1:
            problems.append(f"search/sampler=cmaes optimises one objective, search.objectives has {n_objectives}; use tpe or nsgaii")
        if len(numbers) < 2:
            found = ", ".join(numbers) or "none"
            problems.append(
                f"search/sampler=cmaes needs two parameters or more that are numbers without a condition, found: {found}; use tpe"
            )
        return problems


@SAMPLERS.register("grid")
class Grid(Sampler):
    """Every combination of the space in order; the runner asks the space itself for the next one."""

    def build(self, seed: int) -> "optuna.samplers.BaseSampler":
        """See `Sampler.build`; the sampler is not asked."""
        return RandomDraws().build(seed)

    def refuse(self, space: Space, n_objectives: int) -> list[str]:
        """See `Sampler.refuse`; raises where a parameter has endlessly many values."""
        space.grid()
        return []


@SAMPLERS.register("nsgaii")
class NsgaII(Sampler):
    """Non-dominated sorting genetic algorithm.

    Args:
        population_size: Trials of a generation; the first is random.

    References:
        Deb et al., 2002, "A fast and elitist multiobjective genetic algorithm: NSGA-II".
    """

    def __init__(self, *, population_size: AtLeastTwo) -> None:
        self.population_size = population_size

    def build(self, seed: int) -> "optuna.samplers.BaseSampler":
        """See `Sampler.build`."""
        import optuna

        return optuna.samplers.NSGAIISampler(population_size=self.population_size, seed=seed)


class Pruner(ABC):
    """Base of rules that stop a losing trial before its end.

    Attributes:
        by_resource: Compares trials by how far they have come, in one series of steps: epochs of the first fold, or folds. Others
            compare at every fold and epoch with what finished trials had at the same one.
    """

    by_resource: ClassVar[bool] = False
    n_warmup_epochs: int = 0

    @abstractmethod
    def build(self, max_resource: int) -> "optuna.pruners.BasePruner | None":
        """Optuna's pruner.

        Args:
            max_resource: Steps of a trial that runs to its end.
        """


PRUNERS: Registry[Pruner] = Registry("pruner")


@PRUNERS.register("none")
class NoPruner(Pruner):
    """Every trial runs to its end."""

    def build(self, max_resource: int) -> None:
        """None."""
        return


@PRUNERS.register("percentile")
class Percentile(Pruner):
    """Keeps the best share of trials.

    Args:
        percentile: Share that goes on, in percent.
        n_startup_trials: Finished trials before anything is pruned.
        n_warmup_epochs: Epochs of a fold in which nothing is pruned.
    """

    def __init__(
        self,
        *,
        percentile: Annotated[float, Range(above=0, below=100)],
        n_startup_trials: PositiveInt,
        n_warmup_epochs: NonNegativeInt,
    ) -> None:
        self.percentile = percentile
        self.n_startup_trials = n_startup_trials
        self.n_warmup_epochs = n_warmup_epochs

    def build(self, max_resource: int) -> "optuna.pruners.BasePruner":
        """See `Pruner.build`."""
        import optuna

        return optuna.pruners.PercentilePruner(self.percentile, n_startup_trials=self.n_startup_trials)


@PRUNERS.register("median")
class Median(Percentile):
    """Keeps the better half of trials.

    Args:
        n_startup_trials: See `Percentile`.
        n_warmup_epochs: See `Percentile`.
    """

    def __init__(self, *, n_startup_trials: PositiveInt, n_warmup_epochs: NonNegativeInt) -> None:
        super().__init__(percentile=50.0, n_startup_trials=n_startup_trials, n_warmup_epochs=n_warmup_epochs)


@PRUNERS.register("halving")
class Halving(Pruner):
    """Asynchronous successive halving.

    Args:
        min_resource: Steps before anything is pruned.
        reduction_factor: One trial of so many goes on.

    References:
        Li et al., 2020, "A System for Massively Parallel Hyperparameter Tuning", arXiv:1810.05934.
    """

    by_resource = True

    def __init__(self, *, min_resource: PositiveInt, reduction_factor: AtLeastTwo) -> None:
        self.min_resource = min_resource
        self.reduction_factor = reduction_factor

    def build(self, max_resource: int) -> "optuna.pruners.BasePruner":
        """See `Pruner.build`."""
        import optuna

        return optuna.pruners.SuccessiveHalvingPruner(min_resource=self.min_resource, reduction_factor=self.reduction_factor)


@PRUNERS.register("hyperband")
class Hyperband(Halving):
    """Hyperband: brackets of successive halving that begin at different steps.

    References:
        Li et al., 2018, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", arXiv:1603.06560.
    """

    def __init__(self, *, min_resource: PositiveInt, reduction_factor: AtLeastTwo) -> None:
        super().__init__(min_resource=min_resource, reduction_factor=reduction_factor)

    def build(self, max_resource: int) -> "optuna.pruners.BasePruner":
        """See `Pruner.build`."""
        import optuna

        return optuna.pruners.HyperbandPruner(
            min_resource=self.min_resource, max_resource=max_resource, reduction_factor=self.reduction_factor
        )


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
