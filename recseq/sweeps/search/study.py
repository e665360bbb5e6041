"""A study of optuna: opened or resumed by name, asked for trials and told what became of them."""

import logging
import math
import os
import socket
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
import psutil
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState

from recseq.environment import NOT_IDENTITY, without
from recseq.errors import ConfigError
from recseq.sweeps.notes import write_job
from recseq.sweeps.search.jobs import Outcome, read_outcome
from recseq.sweeps.search.objectives import Objective
from recseq.sweeps.search.options import OptunaSearch
from recseq.sweeps.search.space import Assignment, Parameter, Space
from recseq.tracking import flatten

optuna.logging.set_verbosity(optuna.logging.WARNING)
log = logging.getLogger(__name__)

BUSY_SECONDS = 60
TRIES = 5
OWNER, FOLDER, ERROR, INTERRUPTED, OVERRIDES = "owner", "folder", "error", "interrupted", "overrides"


def absolute_storage(url: str) -> str:
    """A storage URL that means the same in every working directory."""
    prefix = "sqlite:///"
    return f"{prefix}{Path(url.removeprefix(prefix)).absolute()}" if url.startswith(prefix) else url


def open_storage(url: str) -> BaseStorage:
    """The database, made when it is not there.

    Raises:
        ConfigError: It cannot be opened.
    """
    local = url.startswith("sqlite:///")
    options: dict[str, Any] = {"connect_args": {"timeout": BUSY_SECONDS}} if local else {}
    for attempt in range(1, TRIES + 1):
        try:
            if local:
                Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
            return RDBStorage(url, engine_kwargs=options)
        except Exception as error:
            if attempt == TRIES or not local or isinstance(error, OSError):
                raise ConfigError(f"search.storage is {url!r}, which cannot be opened: {str(error).splitlines()[0]}") from None
            time.sleep(0.3 * attempt)  # another search was making the same fresh file
    raise AssertionError


def distribution_of(parameter: Parameter) -> BaseDistribution:
    """Optuna's distribution of a parameter."""
    if parameter.choices is not None:
        return CategoricalDistribution(parameter.choices)
    if parameter.integer:
        return IntDistribution(int(parameter.low), int(parameter.high), log=parameter.log, step=int(parameter.step or 1))
    return FloatDistribution(float(parameter.low), float(parameter.high), log=parameter.log, step=parameter.step)


class Study:
    """A named study of a space.

    Args:
        search: The checked `search` group.
        space: What is searched.
        objectives: What is optimised.
        base: The config that all trials share, plain Python; a study is resumed under the same one only.
        name: Of the study.
        max_resource: Steps of a trial that runs to its end, for pruners that count them.

    Raises:
        ConfigError: The storage cannot be opened, or holds a study of this name that is another one.
    """

    def __init__(
        self, search: OptunaSearch, space: Space, objectives: Sequence[Objective], base: Mapping[str, Any], name: str, max_resource: int
    ) -> None:
        self.space = space
        self.objectives = list(objectives)
        self.storage_url = absolute_storage(search.storage)
        storage = open_storage(self.storage_url)
        with _quiet():
            self.study = optuna.create_study(
                storage=storage,
                study_name=name,
                directions=["maximize" if objective.maximize else "minimize" for objective in objectives],
                pruner=search.pruner.build(max_resource) or optuna.pruners.NopPruner(),
                load_if_exists=True,
            )
            self.resumed = len(self.study.get_trials(deepcopy=False))
            self._require_the_same(base)
            self.study.sampler = search.sampler.build((search.seed + self.resumed) % 2**32)  # else a resumed search would repeat its draws
            self.study.set_metric_names([objective.column for objective in objectives])
        self.grid = space.grid() if search.sampler_name == "grid" else None

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.study.study_name

    def _require_the_same(self, base: Mapping[str, Any]) -> None:
        """Trials of other objectives or of another experiment cannot be compared with new ones.

        Raises:
            ConfigError: They would be.
        """
        columns = [f"{'max' if objective.maximize else 'min'} {objective.column}" for objective in self.objectives]
        flat = {key: str(value) for key, value in flatten(without(base, NOT_IDENTITY)).items()}
        attributes = self.study.user_attrs
        if "objectives" not in attributes:
            self.study.set_user_attr("objectives", columns)
            self.study.set_user_attr("base", flat)
            return
        if attributes["objectives"] != columns:
            raise ConfigError(
                f"study {self.name!r} in {self.storage_url} optimises {', '.join(attributes['objectives'])}, now it would be "
                f"{', '.join(columns)}; choose another search.study_name"
            )
        old = attributes["base"]
        changed = [key for key in sorted(old.keys() | flat.keys()) if old.get(key) != flat.get(key)]
        if changed:
            told = ", ".join(f"{key} was {old.get(key)}, is {flat.get(key)}" for key in changed[:5])
            raise ConfigError(f"study {self.name!r} has trials of another experiment ({told}); choose another search.study_name")
        for parameter in self.space.parameters:
            for trial in self.study.get_trials(deepcopy=False):
                if parameter.name in trial.distributions:
                    try:
                        optuna.distributions.check_distribution_compatibility(
                            trial.distributions[parameter.name], distribution_of(parameter)
                        )
                    except ValueError as error:
                        raise ConfigError(
                            f"study {self.name!r} has searched {parameter.name} among other values ({str(error).splitlines()[0]}); "
                            f"choose another search.study_name"
                        ) from None

    def settle(self) -> None:
        """Deal with trials that a sweep which is no more has left running: results in their folders count, others are tried again."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            owner = trial.user_attrs.get(OWNER)
            if owner is not None and is_alive(owner):
                log.info("trial %d is running in another sweep, process %s on %s", trial.number, owner["pid"], owner["host"])
                continue
            folder = trial.user_attrs.get(FOLDER)
            if self.tell(trial.number, folder).status == "FINISHED" and folder is not None:  # killed before it was noted
                write_job(Path(folder), trial.number, trial.user_attrs.get(OVERRIDES, []), "FINISHED", None, None)

    def n_done(self) -> int:
        """Trials that count: ended ones that were not interrupted, and those that run elsewhere."""
        trials = self.study.get_trials(deepcopy=False)
        return sum(trial.state != TrialState.WAITING and not trial.user_attrs.get(INTERRUPTED, False) for trial in trials)

    def ask(self) -> tuple[int, Assignment] | None:
        """Number and texts of the next trial; None when a grid is exhausted."""
        with _quiet():
            if self.grid is not None and not self._enqueue_next():
                return None
            trial = self.study.ask()
            trial.set_user_attr(OWNER, this_process())
            assignment = self.space.assign(lambda parameter: parameter.text(_suggest(trial, parameter)))
            return trial.number, assignment

    def note(self, number: int, folder: Path, overrides: Sequence[str]) -> None:
        """Remember where a trial runs and how to run it again."""
        trial_id = self._trial_id(number)
        self.study._storage.set_trial_user_attr(trial_id, FOLDER, str(folder))
        self.study._storage.set_trial_user_attr(trial_id, OVERRIDES, list(overrides))

    def tell(self, number: int, folder: Path | str | None) -> Outcome:
        """Record what a trial's folder says; one without a word was interrupted, and is tried again by whoever goes on.

        Returns:
            What was recorded.
        """
        outcome = read_outcome(Path(folder)) if folder is not None else Outcome("UNKNOWN")
        trial_id = self._trial_id(number)
        if outcome.status == "FINISHED":
            values = [outcome.means.get(objective.column, math.nan) for objective in self.objectives]
            if all(math.isfinite(value) for value in values):
                self.study.tell(number, values)
                return outcome
            told = ", ".join(f"{objective.column} is {value}" for objective, value in zip(self.objectives, values, strict=True))
            outcome = Outcome("FAILED", error=told)
        if outcome.status == "PRUNED":
            self.study.tell(number, state=TrialState.PRUNED)
            return outcome
        if outcome.status == "UNKNOWN":
            self.study._storage.set_trial_user_attr(trial_id, INTERRUPTED, True)
            params = self.study._storage.get_trial(trial_id).params
            if params and self.grid is None:  # a grid finds by itself what is missing
                self.study.enqueue_trial(params)
        self.study._storage.set_trial_user_attr(trial_id, ERROR, outcome.error or "interrupted")
        self.study.tell(number, state=TrialState.FAIL)
        return outcome

    def best(self) -> list[FrozenTrial]:
        """The best trial, or the Pareto set in the order of the first objective; empty when none has finished."""
        with suppress(ValueError):
            if len(self.objectives) == 1:
                return [self.study.best_trial]
        sign = -1 if self.objectives[0].maximize else 1
        return sorted(self.study.best_trials, key=lambda trial: sign * trial.values[0]) if len(self.objectives) > 1 else []

    def counts(self) -> dict[str, int]:
        """Trials by what became of them."""
        trials = self.study.get_trials(deepcopy=False)
        found = {"finished": 0, "pruned": 0, "failed": 0, "interrupted": 0}
        names = {TrialState.COMPLETE: "finished", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
        for trial in trials:
            if trial.state in names:
                found["interrupted" if trial.user_attrs.get(INTERRUPTED) else names[trial.state]] += 1
        return found

    def _trial_id(self, number: int) -> int:
        return self.study._storage.get_trial_id_from_study_id_trial_number(self.study._study_id, number)

    def _enqueue_next(self) -> bool:
        """Queue the first combination of the grid that no trial has or is to have."""
        assert self.grid is not None
        by_name = {parameter.name: parameter for parameter in self.space.parameters}
        tried = []
        for trial in self.study.get_trials(deepcopy=False):
            if not trial.user_attrs.get(INTERRUPTED) and trial.state != TrialState.WAITING:
                tried.append({name: by_name[name].text(value) for name, value in trial.params.items() if name in by_name})
            if trial.state == TrialState.WAITING:
                return True
        for assignment in self.grid:
            if assignment not in tried:
                self.study.enqueue_trial({name: by_name[name].value(text) for name, text in assignment.items()})
                return True
        return False


def _suggest(trial: optuna.Trial, parameter: Parameter) -> Any:
    distribution = distribution_of(parameter)
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(parameter.name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(parameter.name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(parameter.name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)


def this_process() -> dict[str, Any]:
    """Who runs a trial, told from a later process of the same number."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": psutil.Process().create_time()}


def is_alive(owner: Mapping[str, Any]) -> bool:
    """Whether the process of a trial still runs; of other machines nothing is known, so it is taken to."""
    if owner["host"] != socket.gethostname():
        return True
    try:
        return abs(psutil.Process(owner["pid"]).create_time() - owner["started"]) < 1
    except psutil.Error:
        return False


@contextmanager
def _quiet() -> Any:
    """Optuna marks options as experimental whose behaviour is what we ask for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
