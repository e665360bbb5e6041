"""Pruners: when a search stops a losing trial. Optuna is imported when one is built."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar

from recseq.options import NonNegativeInt, PositiveInt, Range
from recseq.registry import Registry

if TYPE_CHECKING:
    import optuna


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

    def __init__(self, *, min_resource: PositiveInt, reduction_factor: Annotated[int, Range(at_least=2)]) -> None:
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

    def build(self, max_resource: int) -> "optuna.pruners.BasePruner":
        """See `Pruner.build`."""
        import optuna

        return optuna.pruners.HyperbandPruner(
            min_resource=self.min_resource, max_resource=max_resource, reduction_factor=self.reduction_factor
        )
