"""Seed, determinism, identity and provenance of a run."""

import hashlib
import importlib.metadata
import json
import os
import platform
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

import recseq
from recseq.data.interactions import Dataset
from recseq.secrets import without_credentials

PACKAGES = ("torch", "hydra-core", "omegaconf", "polars", "pytorch-lightning", "mlflow", "numpy", "scipy", "optuna", "safetensors")

# Config keys that cannot change a result but for rounding: where things are read, written and logged, on which devices and how many, and
# how progress is shown. A run may be gone on with, or its results be taken, under other values of them. What is not here is part of a run's
# identity.
NOT_IDENTITY = (
    "mode",
    "from_run",
    "train",
    "model_path",
    "evaluate",
    "recommend",
    "similar",
    "export",
    "search",
    "paths",
    "tracking",
    "plugins",
    "report",
    "upload",
    "dataset.path",
    "dataset.cache",
    "dataset.items.path",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.enable_progress_bar",
    "trainer.checkpoint",
    "trainer.checkpoint_every_n_batches",
    "trainer.profiler",
)


def seed_everything(seed: int, deterministic: bool) -> None:
    """Seed Python, numpy and torch, and allow only deterministic algorithms when asked to."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(deterministic)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def digest(value: Any) -> str:
    """Hash of plain Python (dicts, lists, numbers, texts), independent of the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def data_hash(dataset: Dataset) -> str:
    """Identity of the data: interactions and item features."""
    features = dataset.item_features
    return digest([dataset.interactions.fingerprint, features.fingerprint if features else None])


def config_hash(config: Mapping[str, Any], data_hash: str, earlier: str | None = None) -> str:
    """Identity of a run: its config without what cannot change the result, and the data; of some modes, the rows or the model as well.

    Args:
        config: The config.
        data_hash: Identity of the data.
        earlier: Hash of the weights of the model that is measured, or that training begins from; None without one.
    """
    mode, more = config.get("mode"), []
    if mode == "train":
        more.append(config["train"]["fold"])
    if earlier is not None:
        of_mode = config["evaluate"]["fold"] if mode == "evaluate" else config["train"]["only_new"]
        more += [mode, of_mode, earlier]
    return digest([without(config, NOT_IDENTITY), data_hash, *more])


def split_hash(config: Mapping[str, Any], data_hash: str) -> str:
    """Identity of the folds: splitter and data."""
    return digest([config["splitter"], data_hash])


def without(config: Mapping[str, Any], paths: tuple[str, ...]) -> dict[str, Any]:
    """A nested config without what lies at some dotted paths."""
    kept = {}
    for key, value in config.items():
        if key in paths:
            continue
        inner = tuple(path.removeprefix(f"{key}.") for path in paths if path.startswith(f"{key}."))
        kept[key] = without(value, inner) if isinstance(value, Mapping) and inner else value
    return kept


def provenance(device: str) -> dict[str, Any]:
    """Where numbers come from: program, versions, code, machine."""
    return {
        "recseq": recseq.__version__,
        "command": [without_credentials(word) for word in sys.argv],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "device": device,
        "threads": torch.get_num_threads(),
        **git_state(),
    }


def git_state() -> dict[str, Any]:
    """Commit and dirty flag of recseq's own checkout; None where it is installed without one."""
    here = Path(recseq.__file__).parent
    try:
        _git(here, "ls-files", "--error-unmatch", "__init__.py")  # installed below somebody else's checkout, its commit says nothing
        commit = _git(here, "rev-parse", "HEAD").strip()
        return {"git_commit": commit, "git_dirty": bool(_git(here, "status", "--porcelain", "--untracked-files=no").strip())}
    except (OSError, subprocess.SubprocessError):
        return {"git_commit": None, "git_dirty": None}


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True, timeout=10).stdout


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
