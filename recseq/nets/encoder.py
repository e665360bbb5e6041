"""The encoder: item matrix, positions, layers, composed from parts passed in built."""

import torch
from torch import nn

from recseq.data.packing import PackedBatch
from recseq.nets.attention import AttentionPlan
from recseq.nets.dropout import Dropout
from recseq.nets.item_net import ItemNet
from recseq.nets.layers import TransformerLayers
from recseq.nets.positions import PositionalEncoding
from recseq.nets.similarity import Similarity


class SequenceEncoder(nn.Module):
    """From packed items to hidden states, and how these are compared with items.

    Args:
        item_net: Makes the item matrix.
        positions: Writes places into tokens.
        layers: Transformer blocks.
        similarity: Compares hidden states and item vectors; loss and ranking apply it.
        dropout_rate: Dropout of embedded tokens.
        causal: A token sees itself and earlier tokens only.
        pad_key_len: L, when users with fewer than L tokens see the virtual padding key (`use_key_padding_mask: false`); None: no such key.
    """

    def __init__(
        self,
        *,
        item_net: ItemNet,
        positions: PositionalEncoding,
        layers: TransformerLayers,
        similarity: Similarity,
        dropout_rate: float,
        causal: bool,
        pad_key_len: int | None,
    ) -> None:
        super().__init__()
        self.item_net = item_net
        self.positions = positions
        self.layers = layers
        self.similarity = similarity
        self.dropout = Dropout(dropout_rate)
        self.causal = causal
        self.pad_key_len = pad_key_len

    def initialise(self) -> None:
        """Xavier normal for every parameter with more than one dimension; biases, norms and given vectors stay as they are made."""
        given = {id(parameter) for module in self.modules() for parameter in getattr(module, "given_parameters", ())}
        for parameter in self.parameters():
            if parameter.dim() > 1 and id(parameter) not in given:
                nn.init.xavier_normal_(parameter)

    def forward(self, batch: PackedBatch, item_matrix: torch.Tensor) -> torch.Tensor:
        """Encode a batch.

        Args:
            batch: Packed batch.
            item_matrix: E from `item_net()`, (R, D), made once a step and used for the scores as well.

        Returns:
            Hidden states, (T, D).
        """
        x = nn.functional.embedding(batch.items, item_matrix)  # (T, D)
        x = self.dropout(self.positions(x, batch))
        plan = AttentionPlan.of_batch(batch, self.causal, self.pad_key_len, x.dtype)
        return self.layers(x, batch, plan)
