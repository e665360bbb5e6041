"""A job's side of a search: it reports how it is doing and learns whether to stop.

The sweeper leaves `trial.json` in the job's folder; the job may be another process on another machine, so the two meet in the study's
storage alone. Values of two kinds are reported, which are never compared with each other: the objective's mean over the folds so
far, after each fold, and its value on the validation part, after each epoch. Trials are compared at the same fold and epoch.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from recseq.errors import TrialPruned

log = logging.getLogger(__name__)

TRIAL_FILE = "trial.json"
STEPS_A_FOLD = 100_000  # the step of epoch e of fold f is f * STEPS_A_FOLD + e, that of its end f * STEPS_A_FOLD + END
END = STEPS_A_FOLD - 1


class Trial:
    """A job that nobody compares."""

    def start_fold(self, fold: int) -> None:
        """Called before a fold.

        Raises:
            TrialPruned: The trial has lost.
        """

    def end_epoch(self, fold: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Called after each epoch, from 1, with what is known of it.

        Raises:
            TrialPruned: The trial has lost.
        """

    def end_fold(self, fold: int, metrics: Mapping[str, Any]) -> None:
        """Called after each fold with the row of the model asked for."""


class ComparedTrial(Trial):
    """A job that its study may stop.

    Args:
        note: Content of `trial.json`.
    """

    def __init__(self, note: Mapping[str, Any]) -> None:
        import optuna

        from recseq.sweeps.search.pruners import PRUNERS
        from recseq.sweeps.search.study import open_storage

        self.objective: str = note["objectives"][0]
        self.rule = PRUNERS.build(note["pruner"])
        self.by_epochs: bool = note["by_epochs"]
        storage = open_storage(note["storage"])
        pruner = self.rule.build(note["max_resource"])
        self.study = optuna.load_study(
            study_name=note["study_name"], storage=storage, sampler=optuna.samplers.RandomSampler(), pruner=pruner
        )
        self.number: int = note["trial"]
        self.trial_id = storage.get_trial_id_from_study_id_trial_number(self.study._study_id, self.number)
        self.means: list[float] = []
        self.lost: str | None = None

    def start_fold(self, fold: int) -> None:
        """See `Trial.start_fold`; the verdict on the fold before is carried out here, so that the last fold never is for nothing."""
        if self.lost is not None:
            raise TrialPruned(self.lost)

    def end_epoch(self, fold: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """See `Trial.end_epoch`."""
        value = metrics.get(f"val_{self.objective}")
        if value is None or (self.rule.by_resource and (fold > 0 or not self.by_epochs)):
            return
        loses = self._report(fold * STEPS_A_FOLD + epoch, value)
        if loses and epoch > self.rule.n_warmup_epochs:
            raise TrialPruned(f"pruned after epoch {epoch} of fold {fold}: val_{self.objective} {value:.6f}")

    def end_fold(self, fold: int, metrics: Mapping[str, Any]) -> None:
        """See `Trial.end_fold`."""
        if self.rule.by_resource and self.by_epochs:
            return
        self.means.append(float(metrics[self.objective]))
        value = fmean(self.means)
        if self._report(fold * STEPS_A_FOLD + END, value):
            self.lost = f"pruned after fold {fold}: {self.objective} {value:.6f} so far"

    def _report(self, step: int, value: float) -> bool:
        """Store a value and ask the pruner. A storage that fails costs the comparison, not the trial."""
        try:
            storage = self.study._storage
            storage.set_trial_intermediate_value(self.trial_id, step, value)
            frozen = storage.get_trial(self.trial_id)
            frozen.intermediate_values = comparable(frozen.intermediate_values, step, self.rule.by_resource)
            assert self.study.pruner is not None
            return self.study.pruner.prune(self.study, frozen)
        except Exception as error:
            log.warning("trial %d goes on without a comparison: %s", self.number, str(error).splitlines()[0])
            return False


def comparable(values: Mapping[int, float], step: int, by_resource: bool) -> dict[int, float]:
    """The intermediate values that stand beside the one at `step`.

    Args:
        values: All of a trial's, by step.
        step: The newest.
        by_resource: For pruners that count steps from 1: the series is numbered so.

    Returns:
        After an epoch, the epochs of its fold up to it; after a fold, this value alone: a mean over folds so far is no learning curve
        whose best point would count.
    """
    fold, epoch = divmod(step, STEPS_A_FOLD)
    if by_resource:
        return {fold + 1 if epoch == END else epoch: values[step]}
    if epoch == END:
        return {step: values[step]}
    return {other: value for other, value in values.items() if fold * STEPS_A_FOLD < other <= step}


def trial_of(folder: Path) -> Trial:
    """The trial that a job's folder belongs to, or one that nobody compares.

    Args:
        folder: The job's folder.
    """
    path = folder / TRIAL_FILE
    if not path.exists():
        return Trial()
    note = json.loads(path.read_text())
    return ComparedTrial(note) if note["pruner"]["type"] != "none" else Trial()


def step_name(step: int) -> str:
    """A step for people: `fold 0 epoch 3`, or `fold 0` for its end."""
    fold, epoch = divmod(step, STEPS_A_FOLD)
    return f"fold {fold}" if epoch == END else f"fold {fold} epoch {epoch}"
