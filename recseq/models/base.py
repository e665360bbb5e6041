"""What every recommender can do."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
import torch

from recseq.data.interactions import Interactions, ItemFeatures
from recseq.data.sequences import Histories
from recseq.data.vocabulary import Vocabulary
from recseq.errors import ConfigError, DataError
from recseq.models.state import ModelState
from recseq.ranking import Viewed
from recseq.registry import Registry
from recseq.training.context import FitContext
from recseq.training.trainer import TrainerOptions
from recseq.training.validation import Validation

OnUnsupported = Literal["raise", "warn", "ignore"]


@dataclass(frozen=True)
class Request:
    """Who is to be served, knowing what, and how.

    Args:
        user_ids: Distinct users to recommend to.
        history: Everything known of them (and of others, which is not looked at).
        k: Recommendations a user.
        filter_viewed: Leave out everything in a user's full known history.
        items_to_recommend: Candidates; None takes the model's whole vocabulary. Ids outside of it are left out.
        on_unsupported: What to do about users that the model cannot serve.
        count_unsupported: Is told how many of them there are, and why, instead: where users come in several requests.
    """

    user_ids: pl.Series
    history: Interactions
    k: int
    filter_viewed: bool = True
    items_to_recommend: pl.Series | None = None
    on_unsupported: OnUnsupported = "warn"
    count_unsupported: Callable[[int, str], None] | None = None

    def histories(self) -> Histories:
        """The users' rows, sorted; users without a row are not in it."""
        wanted = pl.DataFrame([self.user_ids.alias("user_id")])
        return Histories.from_frame(self.history.frame.join(wanted, on="user_id", how="semi", maintain_order="left"))

    def candidates(self, vocabulary: Vocabulary) -> np.ndarray:
        """Items (1..V, sorted) that may be recommended, (C,) int64.

        Raises:
            DataError: None of `items_to_recommend` is known.
        """
        if self.items_to_recommend is None:
            return np.arange(1, vocabulary.n_items + 1)
        items = vocabulary.encode(self.items_to_recommend.unique()).drop_nulls().sort()
        if items.is_empty():
            raise DataError(f"none of the {self.items_to_recommend.len()} items to recommend is in the model's vocabulary")
        return items.to_numpy().astype(np.int64)


class Recommender(ABC):
    """Base of recommenders.

    Attributes:
        uses: Config groups, besides `model`, that have an effect on it.
    """

    uses: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def fit(self, train: Interactions, item_features: ItemFeatures | None, context: FitContext) -> None:
        """Learn from a fold's train part."""

    @abstractmethod
    def recommend(self, request: Request) -> pl.DataFrame:
        """Recommend.

        Returns:
            Columns `user_id`, `item_id`, `score` (Float32), `rank` (Int32, 1 is best), by user and rank; fewer than k rows for a user
            with fewer candidates left.

        Raises:
            DataError: Unsupported users under `on_unsupported="raise"`.
        """

    def similar(self, item_ids: pl.Series, k: int, filter_itself: bool = True) -> pl.DataFrame | None:
        """Nearest items of items.

        Args:
            item_ids: Distinct items to find neighbours of.
            k: Neighbours an item.
            filter_itself: Leave the item itself out.

        Returns:
            Columns `item_id`, `similar_item_id`, `score`, `rank`; None: the model does not compare items.

        Raises:
            DataError: An item that the model does not know.
        """
        return None

    def warm_start(self, earlier: "Recommender", keep_items: bool) -> None:
        """Begin the next fit with what another model has learnt.

        Args:
            earlier: A fitted model of the same composition.
            keep_items: Keep its items that the next training data lacks.

        Raises:
            ConfigError: The recommender is not trained in steps, or the other is another kind of model.
        """
        raise ConfigError(
            f"train.warm_start is set, but {type(self).__name__} is not trained step by step: it is computed anew from all rows; "
            f"leave train.warm_start out"
        )

    def facts(self) -> dict[str, float]:
        """Numbers about the fitted model worth a line in the report: parameters, vocabulary, tokens."""
        return {}

    def state(self) -> ModelState:
        """What was learnt, for a model folder.

        Raises:
            ConfigError: The recommender cannot be saved; see `can_be_saved`.
        """
        raise ConfigError(f"{type(self).__name__} cannot be saved: it has no methods state and restore")

    def restore(self, state: ModelState, item_features: ItemFeatures | None) -> None:
        """Become the fitted recommender that `state` was taken of; the constructor's options are the same.

        Args:
            state: Of a model folder.
            item_features: Those of the data that it was fitted on, where `state.needs_item_features` says so.

        Raises:
            DataError: The state is not one of this recommender.
        """
        raise ConfigError(f"{type(self).__name__} cannot be loaded: it has no methods state and restore")

    @classmethod
    def can_be_saved(cls) -> bool:
        """Whether the class has its own `state` and `restore`."""
        return cls.state is not Recommender.state and cls.restore is not Recommender.restore


@dataclass(frozen=True)
class Groups:
    """The config groups beside `model` that a trained recommender is composed of.

    Args:
        loss: Node of the loss.
        item_net_blocks: Options of each item-net block by name.
        item_net_auto: Blocks that the data has no features for are left out instead of refused.
        optimizer: Node of the optimizer, with `_target_`.
        scheduler: Node of the learning rate's scheduler, with `_target_`.
        trainer: Trainer options.
        validation: Chooses an epoch.
        config: The nodes that the recommender is built from, for other processes to build the same.
    """

    loss: Mapping[str, Any]
    item_net_blocks: Mapping[str, Mapping[str, Any]]
    item_net_auto: bool
    optimizer: Mapping[str, Any]
    scheduler: Mapping[str, Any]
    trainer: TrainerOptions
    validation: Validation
    config: Mapping[str, Any]


MODELS: Registry[Recommender] = Registry("model", ("groups",))


def table(user_ids: pl.Series, item_ids: pl.Series, scores: np.ndarray, counts: np.ndarray) -> pl.DataFrame:
    """Recommendations in canonical form.

    Args:
        user_ids: Served users, (U,).
        item_ids: Recommended items of all users end to end, best first, (sum of counts,).
        scores: Their scores.
        counts: Recommendations of each user, (U,).
    """
    ranks = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + 1
    return pl.DataFrame(
        [
            user_ids.gather(np.repeat(np.arange(len(counts)), counts)).alias("user_id"),
            item_ids.alias("item_id"),
            pl.Series("score", scores.astype(np.float32)),
            pl.Series("rank", ranks.astype(np.int32)),
        ]
    )


def viewed_candidates(items: np.ndarray, lengths: np.ndarray, candidates: np.ndarray, n_items: int, device: torch.device) -> Viewed:
    """What users have viewed, as candidate indices.

    Args:
        items: Items of all users end to end, (R,), 1..V.
        lengths: Rows of each user, (U,).
        candidates: Candidate items, sorted, (C,).
        n_items: V.
        device: Where the scores are.
    """
    place = np.full(n_items + 1, -1)
    place[candidates] = np.arange(len(candidates))
    places = place[items]
    user = np.repeat(np.arange(len(lengths)), lengths)[places >= 0]
    counts = np.bincount(user, minlength=len(lengths))
    offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(counts)]))
    return Viewed(torch.from_numpy(places[places >= 0]).to(device), offsets)


def report_unsupported(n_unsupported: int, request: Request, reason: str) -> None:
    """Raise, warn or keep silent about users that cannot be served, as the request says.

    Raises:
        DataError: Under "raise".
        ConfigError: The request's word is none of the three.
    """
    if request.on_unsupported not in ("raise", "warn", "ignore"):
        raise ConfigError(f"on_unsupported_targets is {request.on_unsupported!r}; allowed: raise, warn, ignore")
    if request.count_unsupported is not None:
        request.count_unsupported(n_unsupported, reason)
        return
    if n_unsupported == 0 or request.on_unsupported == "ignore":
        return
    message = f"{n_unsupported} of {request.user_ids.len()} users cannot be served: {reason}"
    if request.on_unsupported == "raise":
        raise DataError(message)
    logging.getLogger(__name__).warning("%s", message)
