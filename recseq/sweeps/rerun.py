"""Command lines that run a job of a sweep again, or go on with the sweep."""

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

PLAIN = re.compile(r"[A-Za-z0-9_./\-]+")


def rerun_command(overrides: Sequence[str], hydra_overrides: Sequence[str], folder: Path | None = None) -> str:
    """The command line that runs a job alone.

    Args:
        overrides: Of the job.
        hydra_overrides: Of the sweep; where configs are found is kept.
        folder: The job's folder, to go on in; None takes a fresh one.
    """
    words = ["recseq", *_config_options()]
    words += [override for override in hydra_overrides if override.startswith("hydra.searchpath")]
    words += overrides
    if folder is not None:
        words += ["hydra.mode=RUN", f"hydra.run.dir={quoted(str(folder))}"]
    return shlex.join(words)


def resume_command(folder: Path, key: str) -> str:
    """The command line that goes on with a sweep or run, as it was typed.

    Args:
        folder: The sweep's or run's folder.
        key: `hydra.sweep.dir` or `hydra.run.dir`.
    """
    typed = [word for word in sys.argv[1:] if not word.startswith(f"{key}=")]
    return shlex.join(["recseq", *typed, f"{key}={quoted(str(folder))}"])


def quoted(text: str) -> str:
    """A text as the value of an override."""
    if PLAIN.fullmatch(text):
        return text
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _config_options() -> list[str]:
    """Options of the typed command line that say where configs are."""
    found = []
    for index, word in enumerate(sys.argv):
        if word in ("--config-dir", "-cd") and index + 1 < len(sys.argv):
            found += [word, sys.argv[index + 1]]
        elif word.startswith("--config-dir="):
            found.append(word)
    return found
