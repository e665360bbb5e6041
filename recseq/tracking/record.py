"""What a run is logged as when it starts, kept in its folder so that it can be logged again: `run.json`."""

import getpass
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from recseq.data.interactions import Dataset, ItemFeatures
from recseq.environment import NOT_IDENTITY
from recseq.files import write_json
from recseq.model_specs import groups_used
from recseq.secrets import place, without_credentials
from recseq.tracking.base import Logged, Tracker, flatten
from recseq.tracking.names import blocks, settings

RUN_FILE = "run.json"
KEY_TAG = "recseq.key"
SHARED_GROUPS = ("dataset", "splitter", "metrics", "reference_models", "seed")
COLUMN_TYPES = {"Int": "long", "UIn": "long", "Flo": "double", "Dat": "datetime"}


@dataclass(frozen=True)
class RunRecord:
    """A run as the tracker is told of it when it starts.

    Args:
        name: Name for people.
        params: Flat parameters.
        tags: Tags, with `recseq.key`: what tells it from every other run, in any store.
        dataset: `describe_dataset`; None for a sweep.
        started: When, in milliseconds since 1970.
        run_id: Id in the tracker; empty when it is in none.
    """

    name: str
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    dataset: Mapping[str, Any] | None
    started: int
    run_id: str = ""

    @classmethod
    def new(cls, name: str, params: Mapping[str, Any], tags: Mapping[str, str], dataset: Mapping[str, Any] | None) -> "RunRecord":
        """A record of a run that starts now."""
        own = {KEY_TAG: uuid.uuid4().hex, "mlflow.source.name": "recseq", "mlflow.source.type": "LOCAL", "mlflow.user": _user()}
        return cls(name, params, {**own, **tags}, dataset, int(time.time() * 1000))

    @classmethod
    def read(cls, file: Path) -> "RunRecord":
        """The record in a file."""
        return cls(**json.loads(file.read_text(encoding="utf-8")))

    @property
    def key(self) -> str:
        """What tells the run from every other."""
        return self.tags[KEY_TAG]

    def find(self, tracker: Tracker) -> list[Logged]:
        """The run in a tracker, whatever its id there; more than one only when something was killed in the middle."""
        return tracker.find({KEY_TAG: self.key})

    def reopen(self, tracker: Tracker, level: str, file: Path) -> "RunRecord":
        """Go on with a run that has none above, or open it where the tracker lacks it; what a kill has left running below it is closed.

        Args:
            tracker: Where.
            level: `sweep`.
            file: Keeps the record.

        Returns:
            The record with the id.
        """
        for logged in self.find(tracker):
            tracker.close_tree(logged.run_id, "KILLED")
            if tracker.reopen(logged.run_id):
                record = replace(self, run_id=logged.run_id)
                write_json(file, asdict(record))
                return record
        return self.start(tracker, level, None, file)

    def start(self, tracker: Tracker, level: str, parent: str | None, file: Path) -> "RunRecord":
        """Open the run in a tracker.

        Args:
            tracker: Where.
            level: `sweep` or `run`.
            parent: Id of the run above.
            file: Keeps the record; written before the tracker is asked, so that a run whose id got lost is still found by its key.

        Returns:
            The record with the id.
        """
        write_json(file, asdict(self))
        record = replace(self, run_id=tracker.start(self.name, level, self.params, self.tags, parent, self.started))
        write_json(file, asdict(record))
        if self.dataset is not None:
            tracker.log_dataset(record.run_id, self.dataset)
        return record


def run_params(config: Mapping[str, Any], item_features: ItemFeatures | None) -> dict[str, Any]:
    """Flat parameters: of the groups that the model uses, and of what runs are compared on; none that cannot change a result.

    `composition.*` are words that every run has, whatever its model: what a comparison of unlike models can be drawn over.
    """
    used = groups_used(config)
    composition = {
        "model": config["model"]["name"],
        "loss": config["loss"]["type"] if "loss" in used else "-",
        "item_net": "+".join(blocks(config["item_net"], item_features)) if "item_net" in used else "-",
    }
    groups = used | {"composition": composition} | {group: config[group] for group in SHARED_GROUPS}
    flat = flatten(groups)
    shown = {"dataset.path", "dataset.items.path"}
    hidden = ["size", *(path for path in NOT_IDENTITY if path not in shown)]  # sizes are in the model's keys
    return {
        key: place(value) if isinstance(value, str) else value
        for key, value in flat.items()
        if not any(key == path or key.startswith(f"{path}.") for path in hidden)
    }


def override_tags(overrides: Sequence[str]) -> dict[str, str]:
    """What was typed, whole and by key."""
    by_key = {f"override.{key}": without_credentials(value) for key, value in settings(overrides).items()}
    return ({"recseq.overrides": without_credentials(" ".join(overrides))} if overrides else {}) | by_key


def describe_dataset(config: Mapping[str, Any], dataset: Dataset, data_hash: str) -> dict[str, Any]:
    """What MLflow keeps of a dataset: where from, its identity, columns and sizes."""
    frame = dataset.interactions.frame
    path = config["dataset"].get("path")
    source = {"simulated": config["dataset"]["type"]} if path is None else {"uri": place(str(path))}
    columns = [{"name": name, "type": COLUMN_TYPES.get(str(kind)[:3], "string"), "required": True} for name, kind in frame.schema.items()]
    sizes = {"num_rows": frame.height, "num_users": frame["user_id"].n_unique(), "num_items": frame["item_id"].n_unique()}
    return {
        "name": dataset.name,
        "digest": data_hash,
        "source_type": "local" if path is not None else "simulated" if dataset.simulated else config["dataset"]["type"],
        "source": source,
        "schema": {"mlflow_colspec": columns},
        "profile": sizes | {"from": str(frame["datetime"].min()), "to": str(frame["datetime"].max())},
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "unknown"
