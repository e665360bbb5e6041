"""What ranks do together: fit and recommend. Rank 0's side of each, and the others'."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import torch

from recseq.data.interactions import Interactions, ItemFeatures
from recseq.data.vocabulary import Vocabulary
from recseq.distributed.ranks import Message, Ranks, met
from recseq.distributed.team import Team, team_of
from recseq.environment import seed_everything
from recseq.models.base import Request, report_unsupported
from recseq.models.sequence_ranker import UNSUPPORTED
from recseq.training.context import FitContext
from recseq.training.trainer import TrainerOptions, inference_device

if TYPE_CHECKING:
    from recseq.models.sequential import SequentialRecommender

# Options of the trainer that are for rank 0 alone: others show and write nothing.
OF_RANK_0 = {"enable_progress_bar": False, "profiler": None}


@dataclass
class Kept:
    """What a rank keeps between tasks.

    Args:
        version: Number of the model that it recommended with last.
        model: That model.
    """

    version: int = -1
    model: "SequentialRecommender | None" = None


def team_for(options: TrainerOptions) -> Team | None:
    """Rank 0's team for a trainer's options; None where it is to work alone, and in ranks that follow."""
    ranks = met()
    if options.n_ranks == 1 or (ranks is not None and ranks.rank > 0):
        return None
    return team_of(options.devices, options.num_nodes, on_cuda=inference_device(options).type == "cuda")


@contextmanager
def fitted_together(
    options: TrainerOptions, config: Mapping[str, Any], train: Interactions, item_features: ItemFeatures | None, context: FitContext
) -> Iterator[None]:
    """A block that all ranks run: in rank 0 the others are told to; they fit the same model to the same data.

    Args:
        options: The `trainer` group.
        config: What the model is made of.
        train: What it is fitted to.
        item_features: What is known of items.
        context: Of rank 0's fit; the others log and show nothing.

    Raises:
        RankError: A rank failed or died.
    """
    team = team_for(options)
    if team is None:
        yield
        return
    team.shared_model = None
    facts = {
        "config": config,
        "clock": train.clock,
        "folder": None if context.folder is None else str(context.folder.absolute()),
        "seed": context.seed,
        "label": context.label,
    }
    with team.together():
        team.hand_out(Message("fit", facts, {"train": train.frame, **_feature_tables(item_features)}))
        yield


def _fit(ranks: Ranks, message: Message, kept: Kept) -> None:
    facts = message.facts
    kept.model = None
    model = _build(facts["config"])
    seed_everything(facts["seed"], facts["config"]["trainer"]["deterministic"])
    context = FitContext(Path(facts["folder"]) if facts["folder"] is not None else None, facts["seed"], label=facts["label"])
    model.fit(Interactions(message.tables["train"], facts["clock"]), _features(message), context)


def recommend_together(team: Team, model: "SequentialRecommender", request: Request) -> pl.DataFrame:
    """Recommend, each rank to a part of the users.

    The others get the model with the first request after it was trained or changed, and each its users' histories.

    Args:
        team: The others.
        model: The model.
        request: Whom to recommend what to.

    Returns:
        As of one process, in the same order.
    """
    ranks = team.ranks
    users = request.user_ids.unique().sort().alias("user_id")
    state = model.module.state_dict()
    known = (id(model.module), tuple(tensor._version for tensor in state.values()))
    if team.shared_model is None or team.shared_model[0] != known:
        team.version += 1
        team.shared_model = (known, model.module)  # kept, so that no other can have its id
    features = _feature_tables(model.item_features)
    tables = {"vocabulary": model.vocabulary.item_ids.to_frame("item_id"), **features}
    if request.items_to_recommend is not None:
        tables["candidates"] = request.items_to_recommend.to_frame("item_id")
    facts = {
        "config": model.groups.config,
        "version": team.version,
        "on_cuda": next(model.module.parameters()).device.type == "cuda",
        "k": request.k,
        "filter_viewed": request.filter_viewed,
        "clock": request.history.clock,
    }
    with team.together():
        team.hand_out(Message("recommend", facts, tables))
        if any(not message.facts["has_model"] for message in ranks.gather(Message("model", {"has_model": True}))):
            ranks.follow(True)
            ranks.share_state(state)
        else:
            ranks.follow(False)
        for rank, part in enumerate(ranks.parts_of(users)):
            if rank > 0:
                history = request.history.frame.join(part.to_frame(), on="user_id", how="semi", maintain_order="left")
                ranks.send(Message("part", {}, {"users": part.to_frame(), "history": history}), rank)
        mine = replace(request, user_ids=ranks.part_of(users), on_unsupported="ignore")
        recommendations, n_served = model.recommend_alone(mine)
        parts = ranks.gather(Message("lists", {"n_served": n_served}, {"lists": recommendations}))
    n_unsupported = users.len() - sum(part.facts["n_served"] for part in parts)
    report_unsupported(n_unsupported, request, UNSUPPORTED)
    return pl.concat([part.tables["lists"] for part in parts])


def _recommend(ranks: Ranks, message: Message, kept: Kept) -> None:
    facts = message.facts
    has_model = kept.model is not None and kept.version == facts["version"]
    ranks.gather(Message("model", {"has_model": has_model}))
    if ranks.follow(False):
        model = _build(facts["config"])
        model.vocabulary = Vocabulary(message.tables["vocabulary"]["item_id"])
        model.module = model.build_module(model.vocabulary, _features(message))
        model.module.load_state_dict(ranks.share_state(model.module.state_dict()))
        model.module.to(torch.device("cuda", ranks.seat.local_rank) if facts["on_cuda"] else "cpu")
        kept.model, kept.version = model, facts["version"]
    assert kept.model is not None
    part = ranks.receive(0)
    candidates = message.tables["candidates"]["item_id"] if "candidates" in message.tables else None
    request = Request(
        user_ids=part.tables["users"]["user_id"],
        history=Interactions(part.tables["history"], facts["clock"]),
        k=facts["k"],
        filter_viewed=facts["filter_viewed"],
        items_to_recommend=candidates,
        on_unsupported="ignore",
    )
    recommendations, n_served = kept.model.recommend_alone(request)
    ranks.gather(Message("lists", {"n_served": n_served}, {"lists": recommendations}))


def _use(ranks: Ranks, message: Message, kept: Kept) -> None:
    ranks.use(message.facts["backend"])


def _build(config: Mapping[str, Any]) -> "SequentialRecommender":
    """The recommender that rank 0 has, not yet fitted."""
    from recseq.config import import_plugins  # here, not above: both know the models, which know this module
    from recseq.model_specs import ModelSpec
    from recseq.models.sequential import SequentialRecommender

    import_plugins(config["plugins"])
    model = ModelSpec("", {**config, "trainer": config["trainer"] | OF_RANK_0}, is_reference=False).build()
    assert isinstance(model, SequentialRecommender)
    return model


def _feature_tables(item_features: ItemFeatures | None) -> dict[str, pl.DataFrame]:
    if item_features is None:
        return {}
    return {"categorical": item_features.categorical, "numeric": item_features.numeric}


def _features(message: Message) -> ItemFeatures | None:
    if "categorical" not in message.tables:
        return None
    return ItemFeatures(message.tables["categorical"], message.tables["numeric"])


TASKS: Mapping[str, Callable[[Ranks, Message, Kept], None]] = {"fit": _fit, "recommend": _recommend, "use": _use}
