"""Samplers: how a search chooses its next trial. Optuna is imported when one is built."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated

from recseq.options import NonNegativeInt, Range
from recseq.registry import Registry
from recseq.sweeps.search.space import Space

if TYPE_CHECKING:
    import optuna


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

    def __init__(self, *, population_size: Annotated[int, Range(at_least=2)]) -> None:
        self.population_size = population_size

    def build(self, seed: int) -> "optuna.samplers.BaseSampler":
        """See `Sampler.build`."""
        import optuna

        return optuna.samplers.NSGAIISampler(population_size=self.population_size, seed=seed)
