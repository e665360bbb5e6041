"""The sequential recommender: SASRec, BERT4Rec and what comes after are its compositions."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import polars as pl
import torch

from recseq.data.batches import TrainLoader
from recseq.data.interactions import Interactions, ItemFeatures
from recseq.data.objectives import OBJECTIVES
from recseq.data.sequences import Histories, SequenceStore
from recseq.data.shares import Shares
from recseq.data.vocabulary import Vocabulary
from recseq.distributed.ranks import Message, met
from recseq.distributed.tasks import fitted_together, recommend_together, team_for
from recseq.errors import ConfigError, DataError
from recseq.models.base import MODELS, Groups, Recommender, Request
from recseq.models.item_to_item import nearest_items
from recseq.models.sequence_ranker import RankingPlan, SequenceRanker
from recseq.models.state import ModelState, require_tensors
from recseq.models.warm_start import Earlier
from recseq.nets.combiner import COMBINERS
from recseq.nets.encoder import SequenceEncoder
from recseq.nets.item_net import ITEM_NET_BLOCKS, ItemNet, ItemNetBlock
from recseq.nets.layers import LAYERS
from recseq.nets.positions import POSITIONS, NoPositions
from recseq.nets.similarity import SIMILARITIES
from recseq.options import DropoutRate, PositiveInt, Range
from recseq.registry import PartOf, signature_of
from recseq.training.callbacks import Watch
from recseq.training.context import FitContext
from recseq.training.lightning_module import MODULES, SequentialModule
from recseq.training.losses import LOSSES
from recseq.training.optimizer import make_optimizer_factory, takes_rows
from recseq.training.rate_finder import find_rate
from recseq.training.scheduler import make_scheduler_factory
from recseq.training.trainer import TrainerOptions, fit_module, inference_device, make_finder, make_trainer
from recseq.training.validation import HeldOut

log = logging.getLogger(__name__)

LOSS = "loss."  # what names of the loss's tensors begin with


@MODELS.register("sequential")
class SequentialRecommender(Recommender):
    """A transformer over packed sequences, composed of parts.

    Args:
        session_max_len: Longest input, L.
        n_factors: Width of vectors, D.
        n_blocks: Transformer blocks.
        n_heads: Attention heads; divides `n_factors`.
        dropout_rate: Dropout of embedded tokens, attention and feed-forward.
        batch_size: Users a training batch, B.
        train_min_user_interactions: Users with fewer rows are not trained on.
        use_pos_emb: Write positions into tokens.
        use_key_padding_mask: False: users with fewer than L tokens see the virtual padding key, as RecTools' SASRec does.
        causal: A token sees itself and earlier tokens only.
        whole_catalogue: The vocabulary is the whole fold train instead of what filter and truncation leave of it.
        recommend_cold_items: Items outside the vocabulary that item-net blocks know by features can be recommended as well.
        objective: Makes inputs and targets.
        positions: Positional encoding.
        layers: Transformer blocks.
        combiner: Makes one vector of an item's blocks.
        similarity: Compares hidden states and item vectors.
        module: Lightning module.
        groups: The config groups beside `model`.
    """

    uses = ("loss", "item_net", "optimizer", "scheduler", "size", "trainer", "validation")

    def __init__(
        self,
        *,
        session_max_len: PositiveInt,
        n_factors: PositiveInt,
        n_blocks: PositiveInt,
        n_heads: PositiveInt,
        dropout_rate: DropoutRate,
        batch_size: PositiveInt,
        train_min_user_interactions: Annotated[int, Range(at_least=2)],
        use_pos_emb: bool,
        use_key_padding_mask: bool,
        causal: bool,
        whole_catalogue: bool,
        recommend_cold_items: bool,
        objective: Annotated[Mapping[str, Any], PartOf(OBJECTIVES)],
        positions: Annotated[Mapping[str, Any], PartOf(POSITIONS)],
        layers: Annotated[Mapping[str, Any], PartOf(LAYERS)],
        combiner: Annotated[Mapping[str, Any], PartOf(COMBINERS)],
        similarity: Annotated[Mapping[str, Any], PartOf(SIMILARITIES)],
        module: Annotated[Mapping[str, Any], PartOf(MODULES)],
        groups: Groups,
    ) -> None:
        self.session_max_len = session_max_len
        self.batch_size = batch_size
        self.train_min_user_interactions = train_min_user_interactions
        self.whole_catalogue = whole_catalogue
        self.recommend_cold_items = recommend_cold_items
        self.objective = OBJECTIVES.build(objective)
        self.groups = groups
        self._sizes = {
            "n_factors": n_factors,
            "n_blocks": n_blocks,
            "n_heads": n_heads,
            "dropout_rate": dropout_rate,
            "session_max_len": session_max_len,
        }
        self._pad_key_len = None if use_key_padding_mask else session_max_len
        self._causal = causal
        self._use_pos_emb = use_pos_emb
        self._nodes = {"positions": positions, "layers": layers, "combiner": combiner, "similarity": similarity, "module": module}
        self._facts: dict[str, float] = {}
        self._found_rate: float | None = None
        self._earlier: Earlier | None = None
        self.vocabulary: Vocabulary
        self.item_features: ItemFeatures | None
        self.module: SequentialModule

    @classmethod
    def conflicts(cls, options: Mapping[str, Any], where: str) -> list[str]:
        """Options that fit their types but not each other."""
        found = []
        if options["n_factors"] % options["n_heads"]:
            found.append(f"{where}.n_heads is {options['n_heads']}, must divide {where}.n_factors, which is {options['n_factors']}")
        objective = options["objective"]["type"]
        if OBJECTIVES.find(objective, where).needs_causal and not options["causal"]:
            found.append(
                f"{where}.causal is false, but under the objective {objective!r} a bidirectional encoder would see its own targets; "
                f"use {where}.causal=true or another {where}/objective"
            )
        layers = options["layers"]["type"]
        if not options["use_key_padding_mask"] and not LAYERS.find(layers, where).pad_key_allowed:
            found.append(
                f"{where}.use_key_padding_mask is false, which only {where}/layers=sasrec offers: in {layers!r} layers unmasked padding "
                f"would be live tokens; use {where}.use_key_padding_mask=true"
            )
        return found

    @property
    def encoder(self) -> SequenceEncoder:
        """The fitted encoder."""
        return self.module.encoder

    def build_module(
        self, vocabulary: Vocabulary, item_features: ItemFeatures | None, item_counts: torch.Tensor | None = None
    ) -> SequentialModule:
        """Nets, loss and Lightning module for a vocabulary, freshly initialised.

        Args:
            vocabulary: The model's items.
            item_features: What the data knows of items.
            item_counts: Training rows of each item, (V,), for samplers; None counts every item once.

        Raises:
            ConfigError: An item-net block that the data has no features for.
        """
        self.item_features = item_features
        n_rows = 1 + vocabulary.n_items + int(self.objective.needs_mask)
        combiner = COMBINERS.build(self._nodes["combiner"], **self._sizes)
        blocks = {}
        for name, node in self.groups.item_net_blocks.items():
            if not ITEM_NET_BLOCKS.find(name, "item_net").available(item_features):
                if self.groups.item_net_auto:
                    continue
                raise ConfigError(
                    f"item_net asks for {name!r}, but the data has no such item features; use item_net=[ids] or item_net=auto"
                )
            blocks[name] = ITEM_NET_BLOCKS.build(
                {"type": name, **node},
                n_rows=n_rows,
                n_factors=combiner.block_factors,
                vocabulary=vocabulary,
                item_features=item_features,
            )
        encoder = SequenceEncoder(
            item_net=ItemNet(blocks, combiner),
            positions=POSITIONS.build(self._nodes["positions"], **self._sizes) if self._use_pos_emb else NoPositions(),
            layers=LAYERS.build(self._nodes["layers"], **self._sizes),
            similarity=SIMILARITIES.build(self._nodes["similarity"], **self._sizes),
            dropout_rate=self._sizes["dropout_rate"],
            causal=self._causal,
            pad_key_len=self._pad_key_len,
        )
        encoder.initialise()
        if item_counts is None:
            item_counts = torch.ones(vocabulary.n_items, dtype=torch.int64)
        loss = LOSSES.build(self.groups.loss, n_items=vocabulary.n_items, item_counts=item_counts)
        optimizer = make_optimizer_factory(self.groups.optimizer)
        scheduler = make_scheduler_factory(self.groups.scheduler, self.groups.trainer.max_epochs)
        by_rows = takes_rows(self.groups.optimizer)
        parts = {"encoder": encoder, "loss": loss, "optimizer": optimizer, "scheduler": scheduler}
        return MODULES.build(self._nodes["module"], **parts, by_rows=by_rows)

    def fit(self, train: Interactions, item_features: ItemFeatures | None, context: FitContext) -> None:
        """Build sequences, vocabulary and nets, and train; validation, when it is on, is cut from `train` and chooses the epoch.

        With several devices all ranks fit together, each its shares of the batches.

        Raises:
            DataError: No user has enough interactions, or nothing is left to validate with.
            RankError: Another rank failed or died.
        """
        with fitted_together(self.groups.trainer, self.groups.config, train, item_features, context):
            self._fit(train, item_features, context)

    def _fit(self, train: Interactions, item_features: ItemFeatures | None, context: FitContext) -> None:
        """This rank's part of it."""
        self._found_rate = None
        held_out = self.groups.validation.hold_out(train, item_features, context.seed)
        if held_out is None:
            self._train(train, item_features, context, self.groups.trainer)
            return
        watch = Watch(self._evaluation(held_out), held_out.monitor, held_out.mode, held_out.patience)
        self._train(held_out.train, item_features, context, self.groups.trainer, watch)
        ranks, restore = met(), held_out.finish == "best"
        epoch, value = watch.best(self.module, restore) if ranks is None else ranks.agree(lambda: watch.best(self.module, restore))
        n_epochs = int(self._facts["n_epochs"])
        log.info("%s: best of %d epochs is %d, %s %.6f", context.label, n_epochs, epoch, watch.monitor, value)
        if epoch == self.groups.trainer.max_epochs:
            log.warning("%s: the best epoch is the last, %d: training was cut short; raise trainer.max_epochs", context.label, epoch)
        if held_out.finish == "refit":
            torch.manual_seed(context.seed)
            again = replace(
                context,
                folder=None if context.folder is None else context.folder / "refit",  # else it would go on from the first training's state
                log_epoch=lambda values, epoch: context.log_epoch({f"refit_{name}": v for name, v in values.items()}, epoch),
                label=f"{context.label}, refit",
            )
            self._train(train, item_features, again, replace(self.groups.trainer, max_epochs=epoch))
        self._facts |= {"best_epoch": epoch, "n_validation_pairs": held_out.pairs.height}

    def _train(
        self,
        train: Interactions,
        item_features: ItemFeatures | None,
        context: FitContext,
        options: TrainerOptions,
        watch: Watch | None = None,
    ) -> None:
        """Vocabulary, sequences, nets and training, all anew."""
        histories = Histories.from_frame(train.frame)
        kept = histories.keep(self.train_min_user_interactions, self.objective.stored_rows(self.session_max_len))
        if len(kept.lengths) == 0:
            minimum = self.train_min_user_interactions
            raise DataError(f"no user of the train part has model.train_min_user_interactions={minimum} interactions")
        self.vocabulary = Vocabulary.from_items((histories if self.whole_catalogue else kept).rows["item_id"])
        if self._earlier is not None:
            self.vocabulary = self._earlier.extended(self.vocabulary)
        store = SequenceStore.from_histories(kept, self.vocabulary)
        item_counts = torch.bincount(store.items, minlength=self.vocabulary.n_items + 1)[1:]
        self.module = self.build_module(self.vocabulary, item_features, item_counts)
        if self._earlier is not None:
            n_known, n_new = self._earlier.give(self.encoder, self.vocabulary)
            log.info("%s: begins from another model: %s of its items known there, %s new", context.label, f"{n_known:,}", f"{n_new:,}")
        trainer = make_trainer(options, context, watch)
        shares = Shares(ranks.rank, ranks.n_ranks) if (ranks := met()) is not None else None
        batches = TrainLoader(store.to(trainer.strategy.root_device), self.objective, self.batch_size, context.seed, shares)
        if options.find_lr:
            self._find_rate(batches, context, options)
        if options.compile:
            self.encoder.layers.compile(dynamic=True)  # in place: names of weights stay
        started = time.perf_counter()
        n_epochs = fit_module(trainer, self.module, batches, context)
        seconds = time.perf_counter() - started
        self.module.to(trainer.strategy.root_device)  # Lightning leaves it on the CPU; ranking comes next
        self._facts = {
            "n_parameters": sum(p.numel() for p in self.module.parameters()),
            **{
                f"n_parameters_{name}": n
                for name, part in self.encoder.named_children()
                if (n := sum(p.numel() for p in part.parameters()))
            },
            "n_vocabulary": self.vocabulary.n_items,
            "n_train_sequences": store.n_users,
            "n_epochs": trainer.current_epoch,
            "tokens_per_epoch": batches.n_tokens,
            "train_tokens_per_second": batches.n_tokens * n_epochs / seconds,
            "share_users_trained": store.n_users / len(histories.lengths),
            "share_items_trained": kept.rows["item_id"].n_unique() / train.frame["item_id"].n_unique(),
        }

    def _find_rate(self, batches: TrainLoader, context: FitContext, options: TrainerOptions) -> None:
        """Let the module train with the rate of a range test; a refit has the one of the training before."""
        if self._found_rate is None:
            finder = partial(make_finder, options)
            self._found_rate = find_rate(self.module, batches, finder, context.folder, context.label)
        if self._found_rate is not None:
            self.module.make_optimizer = make_optimizer_factory({**self.groups.optimizer, "lr": self._found_rate})

    def _evaluation(self, held_out: HeldOut) -> Callable[[], dict[str, float]]:
        """Metrics of the module as it is on a validation part; histories are encoded at the first call, once for all epochs."""
        users, ranks = held_out.pairs["user_id"].unique().sort(), met()
        users = users if ranks is None else ranks.part_of(users)
        request = Request(users, held_out.train, held_out.k, on_unsupported="ignore")
        plans: list[RankingPlan] = []

        def evaluate() -> dict[str, float]:
            ranker = self.ranker
            if not plans:
                plans.append(ranker.plan(request))
            recommendations = ranker.rank(plans[0], request.k)
            self.module.train()
            if ranks is None:
                return held_out.score(recommendations)
            parts = ranks.gather(Message("lists", {}, {"lists": recommendations}))
            found: dict[str, float] = ranks.agree(lambda: held_out.score(pl.concat([part.tables["lists"] for part in parts])))
            return found

        return evaluate

    def warm_start(self, earlier: Recommender, keep_items: bool) -> None:
        """See `Recommender.warm_start`; known items keep their vectors, new ones have fresh ones."""
        if not isinstance(earlier, SequentialRecommender):
            raise ConfigError(f"train.warm_start names a {type(earlier).__name__}, from which a {type(self).__name__} cannot begin")
        self._earlier = Earlier(earlier.encoder, earlier.vocabulary, keep_items)

    def facts(self) -> dict[str, float]:
        """Parameters per part and per item-net block, vocabulary, tokens, shares of users and items trained on."""
        blocks = self.encoder.item_net.blocks.items()
        return self._facts | {f"n_parameters_item_net_{name}": sum(p.numel() for p in block.parameters()) for name, block in blocks}

    def state(self) -> ModelState:
        """Weights of the encoder and of what a Lightning module adds; the loss is of training alone and stays out."""
        tensors = {name: tensor.detach().cpu() for name, tensor in self.module.state_dict().items() if not name.startswith(LOSS)}
        blocks = [(name, block) for name, block in self.encoder.item_net.blocks.items() if isinstance(block, ItemNetBlock)]
        files: dict[str, str | None] = {}
        tables: dict[str, pl.DataFrame] = {}
        for name, block in blocks:
            for option, frame in block.files().items():
                files[f"item_net.{name}.{option}"] = None if frame is None else f"{name}_{option}"
                tables |= {} if frame is None else {f"{name}_{option}": frame}
        features = any("item_features" in signature_of(type(block)) for _, block in blocks)
        return ModelState(self.vocabulary, tensors, tables, self.facts(), features, files)

    def restore(self, state: ModelState, item_features: ItemFeatures | None) -> None:
        """See `Recommender.restore`; on the device of `trainer.accelerator`, where `auto` takes the CPU when there is no other."""
        self.vocabulary = state.vocabulary
        self.module = self.build_module(state.vocabulary, item_features)
        own = {name: tensor for name, tensor in self.module.state_dict().items() if not name.startswith(LOSS)}
        require_tensors(state.tensors, {name: tuple(tensor.shape) for name, tensor in own.items()}, state.vocabulary.n_items)
        self.module.load_state_dict(dict(state.tensors), strict=False)
        self.module.to(inference_device(self.groups.trainer)).eval()
        self._facts = dict(state.facts)

    def recommend(self, request: Request) -> pl.DataFrame:
        """See `Recommender.recommend`; users with at least one item of the vocabulary in their history can be served.

        With several devices each rank serves a part of the users.
        """
        team = team_for(self.groups.trainer)
        return self.recommend_alone(request)[0] if team is None else recommend_together(team, self, request)

    def recommend_alone(self, request: Request) -> tuple[pl.DataFrame, int]:
        """The recommendations, by this process alone, and how many users could be served."""
        ranker = self.ranker
        plan = ranker.plan(request)
        return ranker.rank(plan, request.k), plan.store.n_users

    @property
    def ranker(self) -> SequenceRanker:
        """What ranks with the weights as they are."""
        return SequenceRanker(self.encoder, self.vocabulary, self.objective, self.session_max_len, self.recommend_cold_items)

    def similar(self, item_ids: pl.Series, k: int, filter_itself: bool = True) -> pl.DataFrame:
        """Nearest items by the cosine of item vectors.

        Args:
            item_ids: Distinct items to find neighbours of.
            k: Neighbours an item.
            filter_itself: Leave the item itself out.

        Returns:
            Columns `item_id`, `similar_item_id`, `score`, `rank`.

        Raises:
            DataError: An item that is not in the vocabulary.
        """
        with torch.inference_mode():
            self.encoder.eval()
            vectors = self.encoder.item_net()[1 : self.vocabulary.n_items + 1]
            return nearest_items(self.vocabulary, vectors, item_ids, k, filter_itself)
