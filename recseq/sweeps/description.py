"""A sweep in Markdown, as its run in the tracker shows it."""

import json
from pathlib import Path

from recseq.tracking.mlflow import artifact_link
from recseq.tracking.run_folder import command_text

PICTURES = ("pareto.png", "pareto_item_net.png")
LINKS = {
    "report.html": "report",
    "leaderboard.csv": "leaderboard",
    "significance.csv": "differences",
    "pareto.html": "picture to hover over",
    "pareto_item_net.html": "the same by item net",
}
SHOWN = (".csv", ".md", ".html", ".png")


def sweep_description(folder: Path) -> str:
    """Command, table, links and pictures of a sweep that has ended.

    Args:
        folder: The sweep's folder.
    """
    command = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))["command"]
    parts = [f"`{command_text(command)}`", f"Folder `{folder}`"]
    if (folder / "pivot.md").exists():
        parts.append((folder / "pivot.md").read_text(encoding="utf-8"))
    links = [f"[{text}]({artifact_link(name)})" for name, text in LINKS.items() if (folder / name).exists()]
    parts.append(" · ".join(links))
    parts += [f"![{name}]({artifact_link(name)})" for name in PICTURES if (folder / name).exists()]
    return "\n\n".join(part for part in parts if part)


def sweep_files(folder: Path) -> list[Path]:
    """Files of a sweep that its run in the tracker has as artifacts."""
    return sorted(path for path in folder.iterdir() if path.is_file() and path.suffix in SHOWN and not path.name.startswith("."))
