"""What a run is called: what it is and what varies, `sasrec-gbce-ids+categories-n50`."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from recseq.data.interactions import ItemFeatures
from recseq.environment import NOT_IDENTITY
from recseq.model_specs import groups_used
from recseq.nets.item_net import ITEM_NET_BLOCKS

GROUPS_IN_NAME = ("row", "model", "loss", "item_net")
SHARED = ("dataset", "splitter", "metrics", "reference_models", "experiment", "trainer", *NOT_IDENTITY)  # told only where they vary
MAX_LENGTH = 120


def run_name(
    config: Mapping[str, Any], item_features: ItemFeatures | None, overrides: Sequence[str], varied: Collection[str] | None = None
) -> str:
    """Name of a run for people.

    Args:
        config: The checked config.
        item_features: Of the data; decide what `item_net=auto` is.
        overrides: What was typed for this run: `loss.n_negatives=50`.
        varied: Keys that differ between the jobs of its sweep; None for a single run, which tells all that concern its model.

    Returns:
        The row, or model, loss, item-net blocks and number of negatives where the model has them; then what else varies as `key=value`.
    """
    typed = settings(overrides)
    used = groups_used(config)
    parts = [typed["row"]] if typed.get("row", "null") != "null" else [str(config["model"]["name"])]
    told = {*GROUPS_IN_NAME, "model.name"}
    if "row" not in typed:
        if "loss" in used:
            parts.append(str(config["loss"]["type"]))
        if "item_net" in used:
            parts.append("+".join(blocks(config["item_net"], item_features)))
        if "loss" in used and "n_negatives" in config["loss"]:
            parts.append(f"n{config['loss']['n_negatives']}")
            told.add("loss.n_negatives")
    for key, value in typed.items():
        if key in told or not (_concerns_model(key, used) if varied is None else key in varied):
            continue
        parts.append(f"n{value}" if key == "loss.n_negatives" else f"{key.rpartition('.')[2].rpartition('/')[2]}={value}")
    return "-".join(parts)[:MAX_LENGTH]


def settings(overrides: Sequence[str]) -> dict[str, str]:
    """Overrides by key, without Hydra's signs."""
    pairs = (override.lstrip("+~").partition("=") for override in overrides)
    return {key: value.strip("'\"") for key, _, value in pairs}


def blocks(item_net: Mapping[str, Any], item_features: ItemFeatures | None) -> list[str]:
    """Blocks of an item net, ids first; those of `auto` that the data has something for."""
    names = [name for name in item_net if name != "auto"]
    if item_net.get("auto", False):
        names = [name for name in names if ITEM_NET_BLOCKS.find(name, "item_net").available(item_features)]
    return sorted(names, key=lambda name: (name != "ids", name))


def _concerns_model(key: str, used: Mapping[str, Any]) -> bool:
    if any(key == path or key.startswith((f"{path}.", f"{path}/")) for path in SHARED if path != "trainer") or key == "trainer":
        return False
    return key in ("seed", "size") or key.startswith("size.") or key.partition(".")[0].partition("/")[0] in used
