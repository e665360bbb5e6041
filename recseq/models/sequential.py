"""The sequential recommender: SASRec, BERT4Rec and what comes after are its compositions."""

import time
from collections.abc import Mapping
from typing import Annotated, Any

import polars as pl
import torch

from recseq.data.batches import TrainLoader, inference_batches
from recseq.data.interactions import Interactions, ItemFeatures
from recseq.data.objectives import OBJECTIVES
from recseq.data.sequences import Histories, SequenceStore
from recseq.data.vocabulary import Vocabulary
from recseq.errors import ConfigError, DataError, TrainingError
from recseq.models.base import MODELS, Groups, Recommender, Request, report_unsupported, table, viewed_candidates
from recseq.models.item_to_item import nearest_items
from recseq.nets.combiner import COMBINERS
from recseq.nets.encoder import SequenceEncoder
from recseq.nets.item_net import ITEM_NET_BLOCKS, ItemNet
from recseq.nets.layers import LAYERS
from recseq.nets.positions import POSITIONS, NoPositions
from recseq.nets.similarity import SIMILARITIES
from recseq.options import DropoutRate, PositiveInt, Range
from recseq.ranking import top_k
from recseq.registry import PartOf
from recseq.training.lightning_module import MODULES, SequentialModule
from recseq.training.losses import LOSSES
from recseq.training.optimizer import make_optimizer_factory
from recseq.training.trainer import FitContext, fit_module, make_trainer

# Tokens of one inference batch; bounds the memory of activations whatever the sequence length.
INFERENCE_BATCH_TOKENS = 2**15


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

    uses = ("loss", "item_net", "optimizer", "size", "trainer")

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
        self.vocabulary: Vocabulary
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
        return MODULES.build(self._nodes["module"], encoder=encoder, loss=loss, optimizer=optimizer)

    def fit(self, train: Interactions, item_features: ItemFeatures | None, context: FitContext) -> None:
        """Build sequences, vocabulary and nets, and train.

        Raises:
            DataError: No user has enough interactions.
        """
        histories = Histories.from_frame(train.frame)
        kept = histories.keep(self.train_min_user_interactions, self.objective.stored_rows(self.session_max_len))
        if len(kept.lengths) == 0:
            minimum = self.train_min_user_interactions
            raise DataError(f"no user of the train part has model.train_min_user_interactions={minimum} interactions")
        self.vocabulary = Vocabulary.from_items((histories if self.whole_catalogue else kept).rows["item_id"])
        store = SequenceStore.from_histories(kept, self.vocabulary)
        item_counts = torch.bincount(store.items, minlength=self.vocabulary.n_items + 1)[1:]
        self.module = self.build_module(self.vocabulary, item_features, item_counts)
        trainer = make_trainer(self.groups.trainer, context)
        batches = TrainLoader(store.to(trainer.strategy.root_device), self.objective, self.batch_size, context.seed)
        started = time.perf_counter()
        fit_module(trainer, self.module, batches)
        seconds = time.perf_counter() - started
        self._facts = {
            "n_parameters": sum(p.numel() for p in self.module.parameters()),
            **{
                f"n_parameters_{name}": n
                for name, part in self.encoder.named_children()
                if (n := sum(p.numel() for p in part.parameters()))
            },
            "n_vocabulary": self.vocabulary.n_items,
            "n_train_sequences": store.n_users,
            "tokens_per_epoch": batches.n_tokens,
            "train_tokens_per_second": batches.n_tokens * trainer.current_epoch / seconds,
            "share_users_trained": store.n_users / len(histories.lengths),
            "share_items_trained": kept.rows["item_id"].n_unique() / train.frame["item_id"].n_unique(),
        }

    def facts(self) -> dict[str, float]:
        """Parameters per part and per item-net block, vocabulary, tokens, shares of users and items trained on."""
        blocks = self.encoder.item_net.blocks.items()
        return self._facts | {f"n_parameters_item_net_{name}": sum(p.numel() for p in block.parameters()) for name, block in blocks}

    def recommend(self, request: Request) -> pl.DataFrame:
        """See `Recommender.recommend`; users with at least one item of the vocabulary in their history can be served."""
        histories = request.histories()
        store = SequenceStore.from_histories(histories, self.vocabulary)
        n_unsupported = request.user_ids.n_unique() - store.n_users
        report_unsupported(n_unsupported, request, "no item of the model's vocabulary in their history")
        device = self.module.device
        with torch.inference_mode():
            self.module.eval()
            item_matrix = self.encoder.item_net()
            catalogue, vectors = self._catalogue(item_matrix)
            candidates = request.candidates(catalogue)
            viewed = None
            if request.filter_viewed:
                items, lengths = store.items.numpy(), store.lengths
                if catalogue is not self.vocabulary:  # items outside the vocabulary may be in histories too
                    everything = SequenceStore.from_histories(histories.of_users(store.user_ids), catalogue)
                    items, lengths = everything.items.numpy(), everything.lengths
                viewed = viewed_candidates(items, lengths, candidates, catalogue.n_items, device)
            users = self.encoder.similarity.of_users(self.user_vectors(store, item_matrix))
            items_compared = self.encoder.similarity.of_items(vectors[torch.from_numpy(candidates - 1).to(device)])
            if not (users.isfinite().all() and items_compared.isfinite().all()):
                raise TrainingError("the trained model gives scores that are not finite; try a smaller optimizer.lr")
            places, scores = top_k(users, items_compared, request.k, viewed)
        found = scores > -torch.inf
        item_ids = catalogue.decode(pl.Series(candidates[places[found].numpy()]))
        return table(store.user_ids, item_ids, scores[found].numpy(), found.sum(1).numpy())

    def _catalogue(self, item_matrix: torch.Tensor) -> tuple[Vocabulary, torch.Tensor]:
        """Items that can be recommended and their vectors, (n, D): the vocabulary, and what is known by features alone when asked for.

        Raises:
            ConfigError: Cold items are asked for and no block knows any item by features.
        """
        vectors = item_matrix[1 : self.vocabulary.n_items + 1]
        if not self.recommend_cold_items:
            return self.vocabulary, vectors
        if all(block.described_items() is None for block in self.encoder.item_net.all_blocks()):
            raise ConfigError(
                "model.recommend_cold_items is true, but no item-net block knows items by features; use item_net=[categories]"
            )
        new, new_vectors = self.encoder.item_net.new_items(self.vocabulary)
        return Vocabulary(pl.concat([self.vocabulary.item_ids, new.item_ids])), torch.cat([vectors, new_vectors])

    def user_vectors(self, store: SequenceStore, item_matrix: torch.Tensor) -> torch.Tensor:
        """Hidden state after each user's newest item, (U, D), in the store's order.

        Args:
            store: Encoded histories, on any device.
            item_matrix: (R, D).
        """
        rows = self.objective.inference_rows(self.session_max_len)
        recent = store.tail(rows).to(item_matrix.device)
        users = item_matrix.new_empty((store.n_users, item_matrix.shape[1]))
        for index, batch in inference_batches(recent, self.objective, INFERENCE_BATCH_TOKENS // rows):
            users[torch.from_numpy(index).to(users.device)] = batch.last_rows(self.encoder(batch, item_matrix)).to(users.dtype)
        return users

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
            self.module.eval()
            vectors = self.encoder.item_net()[1 : self.vocabulary.n_items + 1]
            return nearest_items(self.vocabulary, vectors, item_ids, k, filter_itself)
