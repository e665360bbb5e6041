"""What a search has found: `search.json`, and the same for the terminal."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recseq.report.terminal import console, number
from recseq.sweeps.rerun import rerun_command

if TYPE_CHECKING:  # the end of any sweep imports this, and needs neither
    from recseq.sweeps.search.jobs import Jobs
    from recseq.sweeps.search.study import Study

SEARCH_FILE = "search.json"
SHOWN = 10


def print_best(folder: Path) -> None:
    """The best trial, or the Pareto set, with the command that runs each again; nothing where there was no search.

    Args:
        folder: The sweep's folder.
    """
    path = folder / SEARCH_FILE
    if not path.exists():
        return
    found = json.loads(path.read_text())
    out = console()
    counts = ", ".join(f"{count} {name}" for name, count in found["trials"].items() if count)
    out.print(f"Study {found['study_name']!r}: {counts or 'no trials'}", highlight=False, soft_wrap=True)
    best = found["best"]
    if len(found["objectives"]) > 1:
        names = " and ".join(f"{direction} {column}" for column, direction in found["objectives"].items())
        out.print(f"Pareto set of {names}: {len(best)} trials", highlight=False, soft_wrap=True)
    for trial in best[:SHOWN]:
        values = ", ".join(f"{column} {number(value)}" for column, value in trial["values"].items())
        word = "Best trial" if len(found["objectives"]) == 1 else "Trial"
        out.print(f"{word} {trial['trial']}: {values}", highlight=False, soft_wrap=True)
        out.print(f"  {trial['command']}", highlight=False, soft_wrap=True, markup=False)
    if len(best) > SHOWN:
        out.print(f"  and {len(best) - SHOWN} more in {path}", highlight=False, soft_wrap=True)


def account(jobs: "Jobs", study: "Study") -> dict[str, Any]:
    """What `search.json` holds: the study, its trials in numbers, and the best of them with the command that runs each again."""
    return {
        "study_name": study.name,
        "storage": study.storage_url,
        "objectives": {objective.column: "max" if objective.maximize else "min" for objective in study.objectives},
        "trials": study.counts(),
        "best": [
            {
                "trial": trial.number,
                "values": dict(zip([objective.column for objective in study.objectives], trial.values, strict=True)),
                "params": trial.params,
                "command": rerun_command([*jobs.fixed, *trial.user_attrs.get("overrides", [])], list(jobs.config.hydra.overrides.hydra)),
                "folder": trial.user_attrs.get("folder"),
            }
            for trial in study.best()
        ],
    }
