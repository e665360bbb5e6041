"""ALBERT's two savings (Lan et al., 2019, arXiv:1909.11942), and positions that know how much time has passed."""

import torch
from torch import nn

from recseq.data.packing import PackedBatch
from recseq.nets.attention import AttentionPlan
from recseq.nets.combiner import COMBINERS, Combiner
from recseq.nets.layers import LAYERS, PreLNBlock, TransformerLayers
from recseq.nets.positions import POSITIONS, PositionalEncoding
from recseq.options import PositiveInt


@COMBINERS.register("factorised")
class Factorised(Combiner):
    """Item vectors are learnt in a smaller space and projected."""

    def __init__(self, *, n_factors: int, inner_factors: PositiveInt) -> None:
        super().__init__()
        self.block_factors = inner_factors
        self.project = nn.Linear(inner_factors, n_factors)

    def forward(self, vectors: list[torch.Tensor]) -> torch.Tensor:
        return self.project(torch.stack(vectors).sum(0))


@LAYERS.register("albert")
class AlbertLayers(TransformerLayers):
    """`n_blocks` blocks in `n_groups` groups that share weights."""

    def __init__(self, *, n_blocks: int, n_factors: int, n_heads: int, dropout_rate: float, n_groups: PositiveInt) -> None:
        super().__init__()
        self.order = [i * n_groups // n_blocks for i in range(n_blocks)]
        sizes = {"n_factors": n_factors, "n_heads": n_heads, "ff_multiplier": 4}
        self.groups = nn.ModuleList(PreLNBlock(dropout_rate=dropout_rate, **sizes) for _ in range(n_groups))

    def forward(self, x: torch.Tensor, batch: PackedBatch, plan: AttentionPlan) -> torch.Tensor:
        for group in self.order:
            x = self.groups[group](x, plan)
        return x


@POSITIONS.register("session_gap")
class SessionGap(PositionalEncoding):
    """A learnt vector for the time since the item before: buckets of doubling length in hours."""

    def __init__(self, *, n_factors: int, n_buckets: PositiveInt) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_buckets, n_factors)

    def forward(self, x: torch.Tensor, batch: PackedBatch) -> torch.Tensor:
        gap = torch.diff(batch.seconds, prepend=batch.seconds[:1])
        gap = gap.index_fill(0, batch.offsets[:-1], 0).clamp(min=0)  # a user's first item has none
        bucket = (gap / 3600 + 1).log2().long().clamp(max=self.embedding.num_embeddings - 1)
        return x + self.embedding(bucket)
