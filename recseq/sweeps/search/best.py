"""What a search has found, for the terminal."""

import json
from pathlib import Path

from recseq.report.terminal import console, number

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
