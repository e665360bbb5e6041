"""The way of a search: read what is searched, try the compositions out, run the trials, tell the study, say what was best."""

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from recseq.errors import ConfigError, SearchError
from recseq.files import write_json
from recseq.group_options import MetricOptions
from recseq.metrics.summary import SECONDS
from recseq.sweeps.callback import log_to_parent
from recseq.sweeps.plan import require_same_jobs
from recseq.sweeps.search.best import SEARCH_FILE, account
from recseq.sweeps.search.jobs import Jobs, read_outcome
from recseq.sweeps.search.objectives import choose_objectives
from recseq.sweeps.search.options import SEARCHES, GridSearch, OptunaSearch
from recseq.sweeps.search.space import Space
from recseq.sweeps.search.space_parsing import as_text, parse_space
from recseq.sweeps.search.study import Study
from recseq.sweeps.search.trial import TRIAL_FILE

log = logging.getLogger(__name__)

FOLDS_DIFFER = ("dataset", "splitter", "validation", "metrics")  # groups under which trials have no fold and epoch in common


def run_search(config_loader: ConfigLoader, config: DictConfig, launcher: Launcher, arguments: Sequence[str]) -> None:
    """Run all trials of a search.

    Args:
        config_loader: Hydra's.
        config: The sweep's config as composed, with `hydra`.
        launcher: Starts jobs.
        arguments: Overrides as they were typed, without those of Hydra itself.

    Raises:
        ConfigError: What is asked for cannot be searched; nothing has run.
        SearchError: Trials failed; the others have run, and all is written.
    """
    node = OmegaConf.to_container(config.search, resolve=True)
    problems = _problems_of(node)
    if problems:
        raise ConfigError.from_problems(problems)
    assert isinstance(node, dict)
    search = SEARCHES.build({str(key): value for key, value in node.items()})
    assert isinstance(search, (GridSearch, OptunaSearch))
    overrides = OverridesParser.create(config_loader=config_loader).parse_overrides(list(arguments))
    own = [override for override in overrides if group_of(override.key_or_group) != "search"]
    for override in overrides:
        if override not in own and override.is_sweep_override():
            raise ConfigError(f"{override.input_line}: the search itself cannot be varied in one sweep")
    sweeps = [override for override in own if override.is_sweep_override()]
    fixed = {override.get_key_element(): override for override in own if not override.is_sweep_override()}
    lookup = _Lookup(config)
    texts = {key.lstrip("+"): _value_text(override) for key, override in fixed.items()}
    space = parse_space(search.space, sweeps, texts, lookup)
    if not space.parameters:
        raise ConfigError(
            f"search={node['type']} has nothing to search; give values on the command line, loss=softmax,gbce, or a search.space in YAML"
        )
    lines = [str(override.input_line) for override in fixed.values()]
    jobs = Jobs(config_loader, config, launcher, lines)
    jobs.folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, jobs.folder / "multirun.yaml")
    if isinstance(search, GridSearch):
        _run_grid(jobs, space)
    else:
        _run_study(jobs, space, search, lookup)


def _problems_of(node: Any) -> list[str]:
    """Problems of the `search` group; a name where a part belongs is told how to choose the part."""
    node = node if isinstance(node, dict) else {}
    problems = [
        f"search.{group} is {node[group]!r}; a {group} is chosen as a group: search/{group}={node[group]}"
        for group in ("sampler", "pruner")
        if isinstance(node.get(group), str)
    ]
    return problems or SEARCHES.check(node, "search")


def group_of(key: str) -> str:
    """The config group at the top of a key: `loss` of `loss.n_negatives` and of `loss/negatives`."""
    return key.partition(".")[0].partition("/")[0]


def _value_text(override: Override) -> str:
    return "" if override.is_delete() else str(override.get_value_element_as_str())


class _Lookup:
    """Text of a key in the config as composed: the file chosen for a group, else a value."""

    def __init__(self, config: DictConfig) -> None:
        self.choices: dict[str, Any] = dict(config.hydra.runtime.choices)
        self.config = config

    def __call__(self, key: str) -> str | None:
        if key in self.choices:
            return str(self.choices[key])
        with contextlib.suppress(Exception):
            value = OmegaConf.select(self.config, key, default=None)
            value = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            return None if value is None else as_text(value)
        return None


def _try_out(jobs: Jobs, space: Space) -> dict[str, Any]:
    """Check a few compositions in which every choice and every bound occurs; the first one's config.

    Raises:
        ConfigError: Some cannot be run; all are told.
    """
    problems: list[str] = []
    configs = []
    for sample in space.samples():
        try:
            configs.append(jobs.check(space.overrides(sample)))
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        hint = "  An option that only some choices have needs a condition in YAML: when: {loss: [bce, gbce]}"
        raise ConfigError(f"{ConfigError.from_problems(problems[:8])}\n{hint}")
    return configs[0]


def _run_grid(jobs: Jobs, space: Space) -> None:
    assignments = space.grid()
    _try_out(jobs, space)
    print(f"Grid of {len(assignments)} configurations over {', '.join(parameter.name for parameter in space.parameters)}", flush=True)
    batch = [jobs.job(number, space.overrides(assignment)) for number, assignment in enumerate(assignments)]
    require_same_jobs(jobs.folder, [[*jobs.fixed, *job.overrides] for job in batch])
    jobs.launch(batch)
    _complain([job.number for job in batch if read_outcome(job.folder).status != "FINISHED"], len(batch))


def _run_study(jobs: Jobs, space: Space, search: OptunaSearch, lookup: _Lookup) -> None:
    sample = _try_out(jobs, space)
    metrics = MetricOptions(**sample["metrics"])
    objectives = choose_objectives(search.objectives, metrics, sample["reference_models"])
    problems = search.sampler.refuse(space, len(objectives)) + _pruning_problems(search, space, sample)
    if problems:
        raise ConfigError.from_problems(problems)
    if search.objectives is not None and objectives[0].column != metrics.objective_column and objectives[0].column not in SECONDS:
        jobs.fixed = [line for line in jobs.fixed if not line.startswith("metrics.objective=")]
        jobs.fixed.append(f"metrics.objective={objectives[0].column}")  # so that the leaderboard ranks by it
    base, _ = jobs.compose([])
    plain = OmegaConf.to_container(base, resolve=False)
    assert isinstance(plain, dict)
    by_epochs = sample["validation"]["type"] != "none"
    max_resource = int(sample["trainer"]["max_epochs"] if by_epochs else sample["splitter"].get("n_splits", 1))
    name = search.study_name or f"{jobs.folder.parent.name} {jobs.folder.name}"
    study = Study(search, space, objectives, {str(key): value for key, value in plain.items()}, name, max_resource)
    if not study.resumed and (there := sorted(jobs.folder.glob(f"*/{TRIAL_FILE}"))):
        raise ConfigError(
            f"{jobs.folder} has trials of another study, {len(there)} of them; go on with its search.study_name and search.storage, "
            f"or choose another hydra.sweep.dir"
        )
    study.settle()
    told = ", ".join(f"{'max' if objective.maximize else 'min'} {objective.column}" for objective in objectives)
    already = f", {study.n_done()} of them done" if study.resumed else ""
    print(f"Study {name!r} in {study.storage_url}: {search.n_trials} trials{already}, {search.sampler_name}, {told}", flush=True)
    started = time.monotonic()
    failed: list[int] = []
    try:
        while (left := search.n_trials - study.n_done()) > 0:
            if search.timeout is not None and time.monotonic() - started >= search.timeout:
                print(f"search.timeout of {search.timeout:g} s is over: {left} trials are left out", flush=True)
                break
            if not (ran := _run_batch(jobs, space, search, study, min(search.n_jobs, left), by_epochs, max_resource)):
                print("The grid is exhausted", flush=True)
                break
            failed += [number for number, status in ran.items() if status == "FAILED"]
    finally:
        write_json(jobs.folder / SEARCH_FILE, account(jobs, study))
    _draw(jobs, study)
    _complain(failed, search.n_trials)


def _run_batch(
    jobs: Jobs, space: Space, search: OptunaSearch, study: Study, size: int, by_epochs: bool, max_resource: int
) -> dict[int, str]:
    """Ask for trials, run them together, tell what became of them; status by number, empty when there is none left to ask for."""
    batch = []
    for _ in range(size):
        asked = study.ask()
        if asked is None:
            break
        number, assignment = asked
        job = jobs.job(number, space.overrides(assignment))
        study.note(number, job.folder, job.overrides)
        job.folder.mkdir(parents=True, exist_ok=True)
        note = {
            "study_name": study.name,
            "storage": study.storage_url,
            "trial": number,
            "params": assignment,
            "objectives": [objective.column for objective in study.objectives],
            "pruner": search.pruner_node,
            "by_epochs": by_epochs,
            "max_resource": max_resource,
        }
        write_json(job.folder / TRIAL_FILE, note)
        batch.append(job)
    told = False
    try:
        if batch:
            jobs.launch(batch)
        told = True
    finally:
        outcomes = {job.number: study.tell(job.number, job.folder) for job in batch}
        if not told:
            log.warning("interrupted; the study goes on with search.study_name='%s' or hydra.sweep.dir=%s", study.name, jobs.folder)
    return {number: outcome.status for number, outcome in outcomes.items()}


def _pruning_problems(search: OptunaSearch, space: Space, sample: Mapping[str, Any]) -> list[str]:
    kind = search.pruner_node["type"]
    if kind == "none":
        return []
    problems = []
    for parameter in space.parameters:
        if group_of(parameter.name) in FOLDS_DIFFER:
            problems.append(
                f"search/pruner={kind} compares trials at the same fold and epoch, which they do not share when {parameter.name} varies"
            )
        if search.pruner.by_resource and parameter.name == "trainer.max_epochs":
            problems.append(f"search/pruner={kind} counts epochs of trials of one length, but trainer.max_epochs varies; use median")
    if sample["validation"]["type"] == "none" and sample["splitter"].get("n_splits") == 1:
        problems.append(
            f"search/pruner={kind} has nothing to compare before a trial ends: use splitter.n_splits=2 or more, or validation=last_range"
        )
    return problems


def _draw(jobs: Jobs, study: Study) -> None:
    """Draw the study into the sweep's folder and log it with the sweep's run; the results stand whatever happens here."""
    try:
        from recseq.sweeps.search.plots import draw

        files = draw(study.study, [objective.column for objective in study.objectives], jobs.folder)
        log_to_parent(jobs.config, jobs.folder, [Path(jobs.folder / SEARCH_FILE), *files])
    except Exception as error:
        log.warning("the search is not drawn or not logged: %s", str(error).splitlines()[0] if str(error) else type(error).__name__)


def _complain(failed: Sequence[int], n_jobs: int) -> None:
    if failed:
        raise SearchError(f"{len(failed)} of {n_jobs} jobs failed: {', '.join(map(str, failed))}; the others ran, see the leaderboard")
