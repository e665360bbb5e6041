"""Run folders made by hand, with the config that Hydra composes."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import yaml
from conftest import composed

from recseq.config import check_config

Values = Mapping[str, Sequence[float]]  # metric to one value a fold


@cache
def checked(*overrides: str) -> dict[str, Any]:
    return check_config(composed(*overrides))


def fake_run(
    folder: Path,
    *overrides: str,
    scores: Values,
    references: Mapping[str, Values] | None = None,
    split: str = "split",
    facts: Mapping[str, float] | None = None,
    per_user: Mapping[str, pl.DataFrame] | None = None,
    title: str | None = None,
) -> Path:
    """Write a finished run; fold i has the i-th of each value."""
    config = checked(*overrides)
    name = config["model"]["name"]
    models = {**(references or {}), name: scores}
    n_folds = len(next(iter(scores.values())))
    rows: list[dict[str, Any]] = [
        {"model": model, "fold": fold, "test_start": "2024-06-02 00:00:00", "test_end": "2024-06-09 00:00:00", "seed": config["seed"]}
        | {"fit_seconds": 1.5, "recommend_seconds": 0.5}
        | {metric: values[fold] for metric, values in found.items()}
        for fold in range(n_folds)
        for model, found in models.items()
    ]
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    pl.DataFrame(rows, infer_schema_length=None).write_csv(folder / "metrics.csv")
    provenance = {
        "recseq.dataset": "demo (simulated)",
        "recseq.data_hash": f"data of {split}",
        "recseq.split_hash": split,
        "git_commit": "abc",
    }
    (folder / "provenance.json").write_text(json.dumps(provenance))
    for fold in range(n_folds):
        (folder / f"fold_{fold}").mkdir()
        (folder / f"fold_{fold}" / "fold.json").write_text(json.dumps({"facts": facts or {}}))
        if per_user is not None:
            tables = [table.select(pl.lit(model).alias("model"), pl.all()) for model, table in per_user.items()]
            pl.concat(tables).write_parquet(folder / f"fold_{fold}" / "per_user.parquet")
    means = {model: {metric: {"mean": sum(v) / len(v), "n": len(v)} for metric, v in found.items()} for model, found in models.items()}
    objective = {"MAP@10": means[name]["MAP@10"]["mean"]} if "MAP@10" in scores else {next(iter(scores)): 0.0}
    summary = {"model": name, "run_id": "", "objective": objective, "models": means}
    (folder / "summary.json").write_text(json.dumps(summary | ({"name": title} if title else {})))
    return folder
