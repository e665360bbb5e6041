"""Where the YAML files are, and how results are written: whole or not at all, aside first, then renamed."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def conf_folder() -> Path:
    """The folder of YAML files: inside the package when installed, beside it in a checkout."""
    here = Path(__file__).parent
    return here / "conf" if (here / "conf").is_dir() else here.parent / "conf"


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; rename it to `path` when the block ends well, delete it otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield aside
        aside.replace(path)
    finally:
        if aside.is_dir():
            shutil.rmtree(aside)
        else:
            aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON, indented, NaN refused."""
    write_text(path, json.dumps(value, indent=2, default=str, allow_nan=False) + "\n")
