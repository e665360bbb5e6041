"""Whether a model has learnt from what it is about to be measured on."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from recseq.data.interactions import Interactions
from recseq.errors import ConfigError
from recseq.lifecycle.loading import LoadedModel
from recseq.splitting import Fold

SAME_FOLDS = ("recseq.data_hash", "recseq.split_hash")


def lineage(provenance: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a model was trained on, and before it the models that it began from.

    Args:
        provenance: Of the model.
    """
    trained = provenance["trained_on"]
    own = {key: value for key, value in trained.items() if key != "began_from"}
    return [own | {key: provenance.get(key) for key in SAME_FOLDS}, *trained.get("began_from", [])]


def own_fold(loaded: LoadedModel, tags: Mapping[str, str]) -> int | None:
    """The fold whose train part a model was trained on, where data and splitter are those that made it; None where they are not.

    Args:
        loaded: The model.
        tags: Identity of the data and folds at hand.
    """
    return _fold_of(lineage(loaded.provenance)[0], tags)


def require_no_leak(loaded: LoadedModel, fold: Fold, tags: Mapping[str, str], instead: str) -> None:
    """Refuse to measure, on a fold's test part, a model that may have learnt from it, itself or by a model that it began from.

    It has not where it was trained on that fold's own train part, or where its newest row is older than the test part.

    Args:
        loaded: The model, or the one that another begins from.
        fold: The fold.
        tags: Identity of the data and folds at hand.
        instead: What to do about it, for the message.

    Raises:
        ConfigError: It may have.
    """
    for place, trained in enumerate(lineage(loaded.provenance)):
        if _fold_of(trained, tags) == fold.index or _ends_before(trained, fold):
            continue
        other = [key.removeprefix("recseq.").replace("_hash", "") for key in SAME_FOLDS if trained.get(key) != tags[key]]
        told = f"; it was trained with another {' and '.join(other)} than the one at hand" if other else ""
        began = "began from a model that " if place else ""
        raise ConfigError(
            f"the model in {loaded.path} {began}was trained on {trained['rows']}, up to {trained['to']}{told}. Fold {fold.index} is tested "
            f"on [{fold.test_start}, {fold.test_end}): what it has learnt from, or may have, would be measured. {instead}"
        )


def newest_row(loaded: LoadedModel) -> datetime | None:
    """When the newest row was that a model was trained on; None of data without times."""
    trained = lineage(loaded.provenance)
    return None if any(_without_times(each) for each in trained) else max(datetime.fromisoformat(each["to"]) for each in trained)


def _fold_of(trained: Mapping[str, Any], tags: Mapping[str, str]) -> int | None:
    if any(trained.get(key) != tags[key] for key in SAME_FOLDS):
        return None
    fold: int | None = trained["fold"]
    return fold


def _without_times(trained: Mapping[str, Any]) -> bool:
    return bool(trained.get("clock", "time") == "steps")


def _ends_before(trained: Mapping[str, Any], fold: Fold) -> bool:
    """Whether all that was learnt from is older than a test part; never of data without times."""
    if _without_times(trained) or fold.test.clock == "steps":
        return False
    return datetime.fromisoformat(trained["to"]) < fold.test_start


def newer_rows(loaded: LoadedModel, interactions: Interactions) -> Interactions:
    """All rows of the users who have one that is newer than those that a model was trained on.

    Args:
        loaded: The model.
        interactions: All rows.

    Raises:
        ConfigError: There is none, or the data has no times.
    """
    newest = newest_row(loaded)
    if newest is None or interactions.clock == "steps":
        raise ConfigError("train.only_new=true needs times, but the data has only the order of each user's interactions")
    new = interactions.frame.filter(pl.col("datetime") > newest)
    if new.is_empty():
        raise ConfigError(
            f"train.only_new is true, but no interaction is newer than {newest}, the newest that the model in {loaded.path} was trained on"
        )
    return interactions.with_rows(interactions.frame.join(new, on="user_id", how="semi", maintain_order="left"))
