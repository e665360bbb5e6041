"""The model card: what a model folder's README.md tells a person."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recseq.data.interactions import Interactions
from recseq.models.state import ModelState
from recseq.secrets import without_credentials


@dataclass(frozen=True)
class Measured:
    """A table of numbers and where they are from.

    Args:
        title: Of which rows and which training.
        values: Numbers by name.
    """

    title: str
    values: Mapping[str, float]


def about_rows(train: Interactions, fold: int | None) -> dict[str, Any]:
    """What a model was trained on, for its provenance.

    Args:
        train: The rows.
        fold: The fold whose train part they are; None: they are all.
    """
    return {
        "rows": "all rows" if fold is None else f"the train part of fold {fold}",
        "fold": fold,
        "n_rows": len(train),
        "n_users": train.n_users,
        "n_items": train.n_items,
        "from": str(train.frame["datetime"].min()),
        "to": str(train.frame["datetime"].max()),
        "clock": train.clock,
    }


def model_card(config: Mapping[str, Any], state: ModelState, provenance: Mapping[str, Any], measured: list[Measured]) -> str:
    """The card in Markdown.

    Args:
        config: The config of the run.
        state: What was learnt.
        provenance: Where it comes from.
        measured: Tables of numbers.
    """
    trained = provenance["trained_on"]
    commit = provenance["git_commit"] or "not in a checkout"
    dirty = " with uncommitted changes" if provenance["git_dirty"] else ""
    about = {
        "model": f"{config['model']['name']} (`{config['model']['type']}`)",
        "data": provenance["recseq.dataset"],
        "trained on": f"{trained['rows']}: {trained['n_rows']:,} interactions, {trained['n_users']:,} users, "
        f"{trained['n_items']:,} items, {trained['from']} to {trained['to']}",
        "vocabulary": f"{state.vocabulary.n_items:,} items",
        "seed": config["seed"],
        "recseq": f"{provenance['recseq']}, commit {commit}{dirty}",
        "torch": provenance["packages"]["torch"],
        "data hash": f"`{provenance['recseq.data_hash']}`",
        "config hash": f"`{provenance['recseq.config_hash']}`",
    }
    parts = [f"# {config['model']['name']}", _table("", "", about)]
    if config["validation"]["type"] != "none":
        parts.append(f"Validation was cut from these rows: `validation.type={config['validation']['type']}`.")
    parts.append("## Metrics")
    parts += [f"{each.title}\n\n{_table('metric', 'value', _numbers(each.values))}" for each in measured if each.values]
    if not any(each.values for each in measured):
        parts.append("None: nothing was held out. `recseq mode=cross_validate` with `config.yaml`'s composition measures it.")
    if state.facts:
        parts.append(f"## Size\n\n{_table('', '', _numbers(state.facts))}")
    plugins = f", plugins={config['plugins']!r}" if config["plugins"] else ""
    parts.append(
        "## Use\n\n"
        "Needs recseq; no file is a pickle, and `model.json` has the SHA-256 of each. In Python:\n\n"
        "```python\n"
        "from recseq.lifecycle import load_model\n\n"
        f'model = load_model("path/of/this/folder"{plugins}).model  # model.recommend(Request(...)), model.similar(...)\n'
        "```\n\n"
        "Composed by:\n\n"
        f"```\nrecseq {without_credentials(' '.join(provenance['overrides']))}\n```"
    )
    return "\n\n".join(parts) + "\n"


def _table(left: str, right: str, rows: Mapping[str, Any]) -> str:
    return "\n".join([f"| {left} | {right} |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items())])


def _numbers(values: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{value:,}" if isinstance(value, int) else f"{value:.6g}" for name, value in values.items()}
