"""Ranking with a sequence encoder: whom to rank what for, hidden states of histories, the best of the catalogue."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from recseq.data.batches import inference_batches
from recseq.data.objectives import Objective
from recseq.data.sequences import SequenceStore
from recseq.data.vocabulary import Vocabulary
from recseq.errors import ConfigError, TrainingError
from recseq.models.base import Request, report_unsupported, table, viewed_candidates
from recseq.nets.encoder import SequenceEncoder
from recseq.ranking import Viewed, top_k

# Tokens of one inference batch; bounds the memory of activations whatever the sequence length.
INFERENCE_BATCH_TOKENS = 2**15
UNSUPPORTED = "no item of the model's vocabulary in their history"


@dataclass(frozen=True)
class RankingPlan:
    """Whom to rank what for.

    Args:
        store: Encoded histories of the users that can be served.
        catalogue: Items that can be recommended.
        candidates: Those of them that may be, sorted, (C,).
        viewed: What each user must not get.
    """

    store: SequenceStore
    catalogue: Vocabulary
    candidates: NDArray[np.int64]
    viewed: Viewed | None


class SequenceRanker:
    """Recommends with an encoder's weights as they are.

    Args:
        encoder: The encoder, on its device.
        vocabulary: Its items.
        objective: Makes inputs.
        session_max_len: Longest input, L.
        recommend_cold_items: Items outside the vocabulary that item-net blocks know by features can be recommended as well.
    """

    def __init__(
        self, encoder: SequenceEncoder, vocabulary: Vocabulary, objective: Objective, session_max_len: int, recommend_cold_items: bool
    ) -> None:
        self.encoder = encoder
        self.vocabulary = vocabulary
        self.objective = objective
        self.session_max_len = session_max_len
        self.recommend_cold_items = recommend_cold_items
        self.device = next(encoder.parameters()).device

    def plan(self, request: Request) -> RankingPlan:
        """Whom to rank what for; hangs on the vocabulary, not on the weights."""
        histories = request.histories()
        store = SequenceStore.from_histories(histories, self.vocabulary)
        n_unsupported = request.user_ids.n_unique() - store.n_users
        report_unsupported(n_unsupported, request, UNSUPPORTED)
        catalogue = self._catalogue()
        candidates = request.candidates(catalogue)
        viewed = None
        if request.filter_viewed:
            items, lengths = store.items.numpy(), store.lengths
            if catalogue is not self.vocabulary:  # items outside the vocabulary may be in histories too
                everything = SequenceStore.from_histories(histories.of_users(store.user_ids), catalogue)
                items, lengths = everything.items.numpy(), everything.lengths
            viewed = viewed_candidates(items, lengths, candidates, catalogue.n_items, self.device)
        return RankingPlan(store, catalogue, candidates, viewed)

    def rank(self, plan: RankingPlan, k: int) -> pl.DataFrame:
        """The recommendations of a plan by the weights as they are; leaves the encoder in evaluation mode."""
        with torch.inference_mode():
            self.encoder.eval()
            item_matrix = self.encoder.item_net()
            vectors = item_matrix[1 : self.vocabulary.n_items + 1]
            if plan.catalogue is not self.vocabulary:
                vectors = torch.cat([vectors, self.encoder.item_net.new_items(self.vocabulary)[1]])
            users = self.encoder.similarity.of_users(self.user_vectors(plan.store, item_matrix))
            if len(plan.candidates) < len(vectors):  # else a copy of the catalogue for nothing
                vectors = vectors[torch.from_numpy(plan.candidates - 1).to(vectors.device)]
            items_compared = self.encoder.similarity.of_items(vectors)
            if not (users.isfinite().all() and items_compared.isfinite().all()):
                raise TrainingError("the trained model gives scores that are not finite; try a smaller optimizer.lr")
            places, scores = top_k(users, items_compared, k, plan.viewed)
        found = scores > -torch.inf
        item_ids = plan.catalogue.decode(pl.Series(plan.candidates[places[found].numpy()]))
        return table(plan.store.user_ids, item_ids, scores[found].numpy(), found.sum(1).numpy())

    def _catalogue(self) -> Vocabulary:
        """Items that can be recommended: the vocabulary, and what is known by features alone when asked for.

        Raises:
            ConfigError: Cold items are asked for and no block knows any item by features.
        """
        if not self.recommend_cold_items:
            return self.vocabulary
        if all(block.described_items() is None for block in self.encoder.item_net.all_blocks()):
            raise ConfigError(
                "model.recommend_cold_items is true, but no item-net block knows items by features; use item_net=[categories]"
            )
        with torch.inference_mode():
            new, _ = self.encoder.item_net.new_items(self.vocabulary)
        return Vocabulary(pl.concat([self.vocabulary.item_ids, new.item_ids]))

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
