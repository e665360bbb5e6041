"""mode=recommend: a saved model serves users, streamed to a file in chunks of them."""

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from recseq.data.interactions import Interactions
from recseq.data.sources import SOURCES
from recseq.data.sources.tabular import Tabular
from recseq.data.vocabulary import Vocabulary
from recseq.environment import seed_everything
from recseq.errors import ConfigError, DataError
from recseq.files import conf_folder, write_json
from recseq.group_options import RecommendOptions
from recseq.lifecycle.id_lists import as_type, read_ids, with_common_type, with_item_type
from recseq.lifecycle.of_model import begin_use, load_for
from recseq.lifecycle.table_writer import place_of, table_writer
from recseq.models import Recommender, Request
from recseq.opening import read_dataset
from recseq.report.terminal import console

log = logging.getLogger(__name__)


@dataclass
class Served:
    """What has been written so far.

    Args:
        n_users: Users asked for.
        n_unsupported: Those that the model cannot serve.
        n_rows: Recommendations.
        reason: Why some cannot be served.
    """

    n_users: int = 0
    n_unsupported: int = 0
    n_rows: int = 0
    reason: str = ""


def recommend(config: Mapping[str, Any], folder: Path) -> None:
    """Recommend with the model of `model_path`, and write the file, `summary.json` and where they come from.

    Args:
        config: A checked config.
        folder: The run's folder.

    Raises:
        ConfigError: Options do not fit the model.
        DataError: The history or ids cannot be read, or users cannot be served under `on_unsupported="raise"`.
    """
    options = RecommendOptions(**config["recommend"])
    place, kind = place_of(options.path, options.format, folder, "recommend")
    users = read_ids(options.users, "user_id", "recommend.users")
    items = read_ids(options.items, "item_id", "recommend.items")
    loaded = load_for(config)
    known: Vocabulary = loaded.vocabulary
    history = read_history(config, options.history)
    users, history = with_common_type(history.frame["user_id"].unique() if users is None else users, history)
    history = with_item_type(history, known.item_ids.dtype)
    if items is not None:
        items = candidates_of(items, known)
    origin = begin_use(config, folder, loaded)
    seed_everything(config["seed"], config["trainer"]["deterministic"])
    started = time.perf_counter()
    served = Served()
    with table_writer(place, kind) as write:
        for chunk, rows in chunks(users.sort(), history, options.users_per_chunk):
            write(recommend_chunk(loaded.model, chunk, rows, items, options, served))
    seconds = time.perf_counter() - started
    if served.n_unsupported and options.on_unsupported == "warn":
        log.warning("%s of %s users cannot be served: %s", f"{served.n_unsupported:,}", f"{served.n_users:,}", served.reason)
    numbers = {
        "n_users": served.n_users,
        "n_served": served.n_users - served.n_unsupported,
        "n_unsupported": served.n_unsupported,
        "n_rows": served.n_rows,
        "seconds": round(seconds, 3),
        "users_per_second": round(served.n_users / seconds, 1),
    }
    write_json(folder / "provenance.json", origin)
    write_json(folder / "summary.json", {"model": loaded.name, "path": str(place.absolute()), **numbers})
    console().print(
        f"{numbers['n_served']:,} users served, {served.n_unsupported:,} unsupported; {served.n_rows:,} rows in {seconds:.1f} s, "
        f"{numbers['users_per_second']:,.0f} users per second\nRecommendations: {place}",
        highlight=False,
        soft_wrap=True,
    )


def read_history(config: Mapping[str, Any], path: str | None) -> Interactions:
    """What users have taken: a file of interactions, or the dataset.

    Args:
        config: The config; where its dataset is tabular, the file is read by its options, else by those of conf/dataset/tabular.yaml.
        path: The file; None is the dataset.

    Raises:
        DataError: It is missing or broken.
    """
    if path is None:
        return read_dataset(config).interactions
    tabular = config["dataset"]
    if tabular["type"] != "tabular":
        tabular = yaml.safe_load((conf_folder() / "dataset" / "tabular.yaml").read_text(encoding="utf-8"))
    node = {key: value for key, value in tabular.items() if key != "cache"} | {"path": path, "items": {**tabular["items"], "path": None}}
    source = SOURCES.build(node)
    assert isinstance(source, Tabular)
    history = source.read().interactions
    if len(history) == 0:
        raise DataError(f"recommend.history is {path!r}, which has no interactions")
    return history


def candidates_of(items: pl.Series, known: Vocabulary) -> pl.Series:
    """Items to recommend in the vocabulary's type; those that cannot be in it are left out.

    Raises:
        ConfigError: The model knows none of them.
    """
    found = as_type(items, known.item_ids.dtype).drop_nulls()
    n_known = known.encode(found).count() if found.len() else 0
    if n_known == 0:
        raise ConfigError(f"recommend.items names {items.len():,} items, of which the model knows none, for example {items[0]!r}")
    if n_known < items.len():
        log.warning(
            "%s of the %s items of recommend.items are not in the model's vocabulary", f"{items.len() - n_known:,}", f"{items.len():,}"
        )
    return found


def chunks(users: pl.Series, history: Interactions, size: int) -> Iterator[tuple[pl.Series, Interactions]]:
    """Users in chunks, each with the rows of its users; the history is sorted once, so that a chunk is a slice of it.

    Args:
        users: Distinct users, sorted.
        history: Rows of these and other users.
        size: Users of a chunk.
    """
    number = pl.DataFrame([users.alias("user_id"), pl.int_range(users.len(), dtype=pl.UInt32, eager=True).alias("user")])
    rows = history.frame.join(number, on="user_id", how="inner", maintain_order="left").sort("user", maintain_order=True)
    user = rows["user"].to_numpy()
    frame = rows.drop("user")
    for first in range(0, users.len(), size):
        begin, end = (int(place) for place in np.searchsorted(user, [first, first + size]))
        yield users.slice(first, size), history.with_rows(frame.slice(begin, end - begin))


def recommend_chunk(
    model: Recommender, users: pl.Series, history: Interactions, items: pl.Series | None, options: RecommendOptions, served: Served
) -> pl.DataFrame:
    """Recommendations to some users; what has been served is counted on.

    Raises:
        DataError: Users cannot be served under `on_unsupported="raise"`.
    """

    def count(n_unsupported: int, reason: str) -> None:
        if options.on_unsupported == "raise" and n_unsupported:
            upto = f"{served.n_users + users.len():,}"
            raise DataError(
                f"{n_unsupported:,} of the first {upto} users cannot be served: {reason}; nothing is written. "
                f"recommend.on_unsupported=warn leaves them out"
            )
        served.n_unsupported += n_unsupported
        served.reason = reason if n_unsupported else served.reason

    request = Request(users, history, options.k, options.filter_viewed, items, options.on_unsupported, count)
    found = model.recommend(request)
    served.n_users += users.len()
    served.n_rows += found.height
    return found
