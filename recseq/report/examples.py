"""Looking at recommendations: histories and lists side by side, and the neighbours of items."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.markup import escape
from rich.table import Table

from recseq.data.interactions import Dataset
from recseq.data.prepared import read_prepared
from recseq.environment import data_hash
from recseq.errors import ConfigError, RecseqError
from recseq.report.options import ReportOptions
from recseq.report.rows import Row, make_rows
from recseq.report.runs import read_run
from recseq.report.terminal import console
from recseq.splitting import SPLITTERS, Fold

log = logging.getLogger(__name__)

HIT = "✓"
MAX_COLUMN = 40  # characters of a column in the terminal
SAMPLE_SEED = 0  # of the users shown, so that two reports show the same


@dataclass(frozen=True)
class Shown:
    """An item as a reader sees it.

    Args:
        title: Its title, else its id.
        item_id: Its id.
        hit: It is one of the user's test items.
        when: When the user took it.
    """

    title: str
    item_id: str
    hit: bool = False
    when: datetime | None = None


@dataclass(frozen=True)
class UserExample:
    """One user.

    Args:
        user_id: Who.
        n_history: Length of the known history.
        history: Its end, newest first.
        test: What the user took next.
        lists: Recommendations by model, best first.
    """

    user_id: str
    n_history: int
    history: list[Shown]
    test: list[Shown]
    lists: dict[str, list[Shown]]


@dataclass(frozen=True)
class ItemExample:
    """One item.

    Args:
        item: Which.
        n_train: Its rows in the train part.
        lists: Its neighbours by model, nearest first.
    """

    item: Shown
    n_train: int
    lists: dict[str, list[Shown]]


@dataclass(frozen=True)
class Examples:
    """What is shown of models that were run on the same folds.

    Args:
        where: Data and fold.
        users: Users.
        items: Items.
        notes: What could not be shown, and why.
    """

    where: str
    users: list[UserExample] = field(default_factory=list)
    items: list[ItemExample] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def items_to_compare(train: pl.DataFrame, items: int | list[Any]) -> pl.DataFrame:
    """The most popular items of a train part, or those that are named, as far as it has them.

    Returns:
        Columns `item_id` and `len`, the item's rows in train.
    """
    table = train.group_by("item_id", maintain_order=True).len().sort("len", descending=True, maintain_order=True)
    if isinstance(items, int):
        return table.head(items)
    wanted = pl.DataFrame({"text": [str(item) for item in items]}).unique(maintain_order=True)
    found = wanted.join(table.with_columns(text=pl.col("item_id").cast(pl.String)), on="text", how="inner", maintain_order="left")
    if found.height < wanted.height:
        log.warning("report.items: %d of %d items are not in the train part", wanted.height - found.height, wanted.height)
    return found.drop("text")


def examples_of(rows: Sequence[Row], dataset: Dataset, options: ReportOptions) -> Examples:
    """Users and items of the newest selected fold.

    Args:
        rows: Models that were run on the same folds; of one with several seeds the first is shown.
        dataset: Their data.
        options: Which users, which items, how many.

    Raises:
        ConfigError: `report.users` names users that the fold does not test.
    """
    run = rows[0].runs[0]
    index = max(run.folds if options.folds is None else options.folds)
    fold = next(fold for fold in SPLITTERS.build(run.config["splitter"]).split(dataset.interactions) if fold.index == index)
    span = f", test {fold.test_start} to {fold.test_end}" if dataset.interactions.clock == "time" else ""
    where = f"{dataset.label}, fold {index}{span}"
    titles = {} if dataset.titles is None else dict(dataset.titles.select("item_id", "title").iter_rows())
    users, notes = _users(rows, fold, titles, options)
    items = _items(rows, fold, titles, options)
    silent = [row.label for row in rows if not any(row.label in item.lists for item in items)]
    if items and silent:
        notes.append(f"no neighbours recorded for {', '.join(silent)}")
    elif not items:
        notes.append("no neighbours of items recorded")
    return Examples(where, users, items, notes)


def _users(rows: Sequence[Row], fold: Fold, titles: Mapping[Any, str], options: ReportOptions) -> tuple[list[UserExample], list[str]]:
    lists, notes = {}, []
    for row in rows:
        table = row.runs[0].table(fold.index, "recommendations.parquet")
        if table is None:
            notes.append(f"{row.label} has no recommendations.parquet")
        else:
            lists[row.label] = table.filter((pl.col("model") == row.model) & (pl.col("rank") <= options.k))
    test = fold.test.frame.select("user_id", "item_id").unique(maintain_order=True)
    chosen = _choose(test["user_id"].unique().sort(), options.users)
    found = []
    for user_id in chosen:
        own = pl.col("user_id") == user_id
        history = fold.train.frame.filter(own).sort("datetime", maintain_order=True)
        recent = history.tail(options.k).reverse().select("item_id", "datetime")
        relevant = test.filter(own)["item_id"].to_list()
        found.append(
            UserExample(
                str(user_id),
                history.height,
                [_shown(item, titles, when=when) for item, when in recent.iter_rows()],
                [_shown(item, titles) for item in relevant],
                {
                    label: [_shown(item, titles, hit=item in relevant) for item in table.filter(own).sort("rank")["item_id"]]
                    for label, table in lists.items()
                },
            )
        )
    return found, notes


def _choose(users: pl.Series, wanted: int | list[Any]) -> list[Any]:
    """Drawn users, in order, or those that are named.

    Raises:
        ConfigError: A named user who is not tested.
    """
    if isinstance(wanted, int):
        drawn = np.random.default_rng(SAMPLE_SEED).choice(users.len(), size=min(wanted, users.len()), replace=False)
        return users.gather(np.sort(drawn)).to_list()
    known = {str(user): user for user in users}
    missing = [str(user) for user in wanted if str(user) not in known]
    if missing:
        raise ConfigError(f"report.users names {', '.join(missing)}, no test user of the fold; for example {users[0]} is one")
    return [known[str(user)] for user in wanted]


def _items(rows: Sequence[Row], fold: Fold, titles: Mapping[Any, str], options: ReportOptions) -> list[ItemExample]:
    tables = {
        row.label: table for row in rows if not row.is_reference and (table := row.runs[0].table(fold.index, "similar.parquet")) is not None
    }
    found = []
    for item_id, n_train in items_to_compare(fold.train.frame, options.items).iter_rows():
        lists = {}
        for label, table in tables.items():
            near = table.filter((pl.col("item_id") == item_id) & (pl.col("rank") <= options.k)).sort("rank")
            if not near.is_empty():
                lists[label] = [_shown(item, titles) for item in near["similar_item_id"]]
        if lists:
            found.append(ItemExample(_shown(item_id, titles), n_train, lists))
    return found


def _shown(item_id: Any, titles: Mapping[Any, str], hit: bool = False, when: datetime | None = None) -> Shown:
    return Shown(str(titles.get(item_id, item_id)), str(item_id), hit, when)


def read_examples(rows: Sequence[Row], options: ReportOptions) -> Examples:
    """`examples_of` with the data read again; data that is gone or another is a note."""
    run = rows[0].runs[0]
    try:
        dataset = read_prepared(run.config)
    except (RecseqError, OSError) as error:
        return Examples(run.dataset, notes=[f"the data cannot be read any more: {str(error).splitlines()[0]}"])
    if data_hash(dataset) != run.data_hash:
        return Examples(run.dataset, notes=["the data is not what the runs had: its hash is another"])
    return examples_of(rows, dataset, options)


def print_run_examples(folder: Path, dataset: Dataset, options: ReportOptions) -> None:
    """Examples of a run that has just ended, beside its reference models."""
    print_examples(examples_of(make_rows([read_run(folder)]), dataset, options))


def print_examples(examples: Examples) -> None:
    """Tables in the terminal; where the models do not fit beside each other they go below."""
    out = console()
    out.print(f"\nRecommendations, {examples.where}", highlight=False, markup=False, style="bold")
    for user in examples.users:
        test = "; ".join(shown.title for shown in user.test)
        title = f"User {user.user_id}, known interactions: {user.n_history}; took next: {test}"
        _print_lists(title, "history, newest first", user.history, user.lists)
    for item in examples.items:
        title = f"Items near {item.item.title} ({item.item.item_id}), {item.n_train:,} rows in train"
        _print_lists(title, None, [], item.lists)
    for note in examples.notes:
        out.print(note, highlight=False, markup=False)


def _print_lists(title: str, first: str | None, history: list[Shown], lists: Mapping[str, list[Shown]]) -> None:
    out = console()
    left = [(first, history)] if first is not None else []
    room = out.width - 6 - sum(_width(*column) for column in left)
    parts: list[list[tuple[str, list[Shown]]]] = [[]]
    for column in lists.items():
        if parts[-1] and sum(_width(*each) for each in [*parts[-1], column]) > room:
            parts.append([])
        parts[-1].append(column)
    for i, part in enumerate(parts):
        table = Table(title=escape(title) if i == 0 else None, title_justify="left")
        table.add_column("", justify="right", no_wrap=True)
        columns = [*left, *part]
        for name, _ in columns:
            table.add_column(escape(name), overflow="ellipsis", no_wrap=True, max_width=MAX_COLUMN)
        for place in range(max((len(shown) for _, shown in columns), default=0)):
            table.add_row(str(place + 1), *(_cell(shown[place]) if place < len(shown) else "" for _, shown in columns))
        out.print(table)


def _width(name: str, shown: list[Shown]) -> int:
    """Characters of a column with its border."""
    return min(MAX_COLUMN, max([len(name), *(len(each.title) + 2 * each.hit for each in shown)])) + 3


def _cell(shown: Shown) -> str:
    return f"[bold green]{HIT} {escape(shown.title)}[/bold green]" if shown.hit else escape(shown.title)
