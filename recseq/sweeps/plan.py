"""Which jobs a sweep has, so that one that is gone on with is known to be the same."""

from collections.abc import Sequence
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from recseq.environment import NOT_IDENTITY
from recseq.errors import ConfigError
from recseq.files import write_json
from recseq.plain import plain_dict
from recseq.sweeps.notes import read_note

PLAN_FILE = "jobs.json"


def planned_jobs(config: DictConfig) -> list[list[str]] | None:
    """Overrides of the jobs that Hydra's own sweeper will start, by number; None under another sweeper, which plans for itself.

    Args:
        config: The sweep's config as composed, with `hydra`.
    """
    sweeper = config.hydra.sweeper
    if not str(sweeper.get("_target_", "")).endswith("BasicSweeper"):
        return None
    params = plain_dict(sweeper.get("params") or OmegaConf.create({}))
    hydra = GlobalHydra.instance().hydra
    parser = OverridesParser.create(config_loader=None if hydra is None else hydra.config_loader)
    lines = [*(f"{key}={value}" for key, value in params.items()), *config.hydra.overrides.task]
    return BasicSweeper.split_arguments(parser.parse_overrides(lines), None)[0]


def require_same_jobs(folder: Path, jobs: Sequence[Sequence[str]]) -> None:
    """Refuse to go on with a sweep under a command line that gives its jobs other numbers; more jobs than before are welcome.

    Args:
        folder: The sweep's folder.
        jobs: Overrides of each job; what cannot change a result is not compared.

    Raises:
        ConfigError: A job of the sweep would be another one, or would be missing.
    """
    now = [[override for override in overrides if _counts(override)] for overrides in jobs]
    found = read_note(folder / PLAN_FILE)
    before: list[list[str]] = found["jobs"] if found is not None else []
    for number, old in enumerate(before):
        new = now[number] if number < len(now) else None
        if new is None or sorted(new) != sorted(old):
            told = "is not there now" if new is None else f"is now {' '.join(new) or 'one without overrides'}"
            raise ConfigError(
                f"the sweep in {folder} cannot go on with this command line: its job {number} was "
                f"{' '.join(old) or 'one without overrides'} and {told}; give the overrides it was started with, or another hydra.sweep.dir"
            )
    write_json(folder / PLAN_FILE, {"jobs": now})


def _counts(override: str) -> bool:
    """Whether an override can change what a job is."""
    key = override.lstrip("+~").partition("=")[0].partition("@")[0].replace("/", ".")
    return not any(key == path or key.startswith(f"{path}.") for path in (*NOT_IDENTITY, "hydra"))
