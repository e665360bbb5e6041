"""The command line: `recseq [overrides]` runs one experiment, `recseq -m ...` a sweep.

Imports no torch, Lightning or MLflow: `--help` and TAB completion start this program, and those cost seconds.
"""

import math
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from recseq.distributed.launch import launched
from recseq.errors import RecseqError
from recseq.files import conf_folder
from recseq.options import did_you_mean
from recseq.sweeps.notes import sweep_of
from recseq.sweeps.rerun import resume_command
from recseq.termination import EXIT_CODE, Terminated, handled


@hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")
def task(composed: DictConfig) -> float:
    """One job: a composed config in its folder.

    Returns:
        The value of `metrics.objective`.
    """
    with handled(), launched() as leads:  # also where a launcher has brought the job to a process of its own
        if not leads:
            return math.nan
        from recseq.modes import run  # here, not above: it brings torch, Lightning and MLflow

        hydra_config = HydraConfig.get()
        folder, overrides = Path(hydra_config.runtime.output_dir), list(hydra_config.overrides.task)
        if hydra_config.mode != RunMode.MULTIRUN:
            try:
                return run(composed, folder, sweep_of(folder), overrides)
            except Terminated as end:
                raise Terminated(str(folder) if (folder / "provenance.json").exists() else "") from end
        try:
            return run(composed, folder, Path(hydra_config.sweep.dir).absolute(), overrides)
        except SystemExit as end:  # of somebody's part; it would take the other jobs with it
            raise RecseqError(f"the job called sys.exit({end.code!r})") from end


def main() -> None:
    """Entry point of the console script."""
    try:
        with handled(), launched() as leads:
            if leads:
                if any(word.startswith("from_run=") for word in sys.argv):
                    sys.argv[1:] = _from_run(sys.argv[1:])
                if any(word.startswith("model_path=") for word in sys.argv):
                    sys.argv[1:] = _of_model(sys.argv[1:])
                refuse_unknown_choices(sys.argv[1:])
                task()
    except Terminated as end:
        going_on = f"to go on: {resume_command(Path(str(end)), 'hydra.run.dir')}" if str(end) else "nothing unfinished counts as a result."
        print(f"Terminated; {going_on}", file=sys.stderr)
        sys.exit(EXIT_CODE)
    except KeyboardInterrupt:
        print("Interrupted; nothing unfinished counts as a result.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `recseq --help | head`: the reader has gone
        sys.stderr.close()
        sys.exit(141)


def _from_run(arguments: list[str]) -> list[str]:
    """A command line with the overrides of the run that it begins from; ends the program where there is no such run."""
    from recseq.lifecycle.from_run import expand_arguments  # here, not above: it brings torch

    try:
        return expand_arguments(arguments)
    except RecseqError as error:
        sys.exit(str(error))


def _of_model(arguments: list[str]) -> list[str]:
    """A command line with what the model that it names was composed of; ends the program where there is no such model."""
    from recseq.lifecycle.of_model import expand_arguments  # here, not above: it brings torch

    try:
        return expand_arguments(arguments)
    except RecseqError as error:
        sys.exit(str(error))


def refuse_unknown_choices(arguments: list[str]) -> None:
    """Stop with the list of choices where an override names a file that a config group does not have.

    Hydra's own message lists none for `item_net=[typo]`. Groups with a search path of the user's (`--config-dir`) are left to Hydra, and
    so are Hydra's own, which plugins add to.
    """
    if any(argument.startswith(("--config-dir", "-cd", "--config-path", "-cp", "hydra.searchpath=")) for argument in arguments):
        return
    for argument in arguments:
        group, separator, choice = argument.partition("=")
        folder = conf_folder() / group
        if not separator or not group or group.startswith(("-", "+", "~", ".", "/", "hydra/")) or not folder.is_dir():
            continue
        names = sorted(path.stem for path in folder.glob("*.yaml"))
        for name in choice.strip("'\"").replace("[", "").replace("]", "").split(","):
            if name and name != "null" and name.replace("_", "a").isalnum() and name not in names:
                sys.exit(f"{argument}: {group} has no {name!r}; {did_you_mean(name, names)}")


if __name__ == "__main__":
    main()
