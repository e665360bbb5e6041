import numpy as np
import pytest
import torch
from conftest import interactions

from recseq.data import packing
from recseq.data.batches import inference_batches
from recseq.data.features import Categories
from recseq.data.interactions import ItemFeatures
from recseq.data.objectives import Shifted
from recseq.data.sequences import Histories, SequenceStore
from recseq.data.vocabulary import Vocabulary
from recseq.errors import ConfigError
from recseq.nets.combiner import SumCombiner
from recseq.nets.encoder import SequenceEncoder
from recseq.nets.item_net import ItemNet
from recseq.nets.item_net_blocks import CategoriesBlock, IdsBlock
from recseq.nets.layers import SASRecLayers
from recseq.nets.positions import LearnablePositions
from recseq.nets.similarity import Dot

L = 8


def encoder_of(n_items: int, pad_key: bool, causal: bool = True) -> SequenceEncoder:
    torch.manual_seed(1)
    encoder = SequenceEncoder(
        item_net=ItemNet({"ids": IdsBlock(n_rows=n_items + 1, n_factors=16, dropout=0.0)}, SumCombiner(n_factors=16)),
        positions=LearnablePositions(session_max_len=L, n_factors=16),
        similarity=Dot(),
        layers=SASRecLayers(n_blocks=2, n_factors=16, n_heads=4, dropout_rate=0.2),
        dropout_rate=0.2,
        causal=causal,
        pad_key_len=L if pad_key else None,
    )
    encoder.initialise()
    for name, parameter in encoder.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
    return encoder.eval()


def store_of(sequences: dict[int, list[int]]) -> SequenceStore:
    rows = [(user, item, day) for user, items in sequences.items() for day, item in enumerate(items)]
    vocabulary = Vocabulary.from_items(Histories.from_frame(interactions([(0, i, 0) for i in range(1, 21)]).frame).rows["item_id"])
    return SequenceStore.from_histories(Histories.from_frame(interactions(rows).frame), vocabulary)


def hidden_of(encoder: SequenceEncoder, sequences: dict[int, list[int]]) -> dict[int, torch.Tensor]:
    """Hidden states of each user, all users in one batch."""
    store = store_of(sequences)
    ((users, batch),) = inference_batches(store, Shifted(), len(sequences))
    with torch.no_grad():
        hidden = encoder(batch, encoder.item_net())
    return {store.user_ids[int(user)]: hidden[batch.offsets[i] : batch.offsets[i + 1]] for i, user in enumerate(users)}


SEQUENCES = {1: [3, 4, 5, 6, 7, 8, 9, 10], 2: [3], 3: [5, 5, 2], 4: [1, 2, 3, 4, 5], 5: [20, 3], 6: [7, 8, 9, 1]}


@pytest.mark.parametrize("pad_key", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("min_cells", [1, 10**9])
def test_output_does_not_depend_on_who_shares_the_batch(
    pad_key: bool, causal: bool, min_cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "CHUNK_MIN_CELLS", min_cells)
    encoder = encoder_of(20, pad_key, causal)
    together = hidden_of(encoder, SEQUENCES)
    for user, items in SEQUENCES.items():
        torch.testing.assert_close(hidden_of(encoder, {user: items})[user], together[user], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("pad_key", [False, True])
def test_later_items_leave_earlier_outputs_as_they_are(pad_key: bool) -> None:
    encoder = encoder_of(20, pad_key)
    before = hidden_of(encoder, SEQUENCES)
    after = hidden_of(encoder, SEQUENCES | {4: [1, 2, 3, 19, 18]})
    torch.testing.assert_close(after[4][:3], before[4][:3], atol=0, rtol=0)
    assert not torch.allclose(after[4][3], before[4][3])
    bidirectional = encoder_of(20, pad_key, causal=False)  # the test can fail
    changed = hidden_of(bidirectional, SEQUENCES | {4: [1, 2, 3, 19, 18]})[4]
    assert not torch.allclose(changed[0], hidden_of(bidirectional, SEQUENCES)[4][0])


def test_virtual_padding_key_equals_padding_to_the_full_length() -> None:
    """L - n padded keys that equal the key bias, with the value bias as value, computed the long way for one head."""
    encoder = encoder_of(20, pad_key=True)
    attention = encoder.layers.blocks[0].attention
    x = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    q, k, v = torch.nn.functional.linear(x, attention.in_weight, attention.in_bias).chunk(3, -1)
    _, k_pad, v_pad = attention.in_bias.chunk(3)
    k_all = torch.cat([k_pad.expand(L - 3, -1), k])
    v_all = torch.cat([v_pad.expand(L - 3, -1), v])
    heads = [part.unflatten(-1, (4, 4)).transpose(0, 1) for part in (q, k_all, v_all)]
    scores = heads[0] @ heads[1].transpose(1, 2) / 2
    scores += torch.full((3, L), -torch.inf).triu(L - 3 + 1)
    expected = attention.out((scores.softmax(-1) @ heads[2]).transpose(0, 1).flatten(1))
    store = store_of({1: [3, 4, 5]})
    ((_, batch),) = inference_batches(store, Shifted(), 1)
    from recseq.nets.attention import AttentionPlan

    plan = AttentionPlan.of_batch(batch, causal=True, pad_key_len=L, dtype=torch.float32)
    torch.testing.assert_close(attention(x, x, plan), expected, atol=1e-6, rtol=1e-5)


def test_item_vector_is_the_sum_of_its_blocks_and_padding_has_no_categories() -> None:
    import polars as pl

    vocabulary = Vocabulary.from_items(pl.Series([10, 20, 30]))
    table = pl.DataFrame(
        {"item_id": [10, 10, 20, 99, 10], "feature": ["g", "d", "g", "g", "g"], "value": ["x", "p", "y", "only elsewhere", "x"]}
    )
    features = ItemFeatures.from_long(table)
    categories = CategoriesBlock(n_rows=5, n_factors=4, vocabulary=vocabulary, item_features=features, features=None, dropout=0.0)
    layout = Categories.of_vocabulary(features.categorical, vocabulary, 5)
    assert layout.columns.select("feature", "value").rows() == [
        ("d", "p"),
        ("g", "x"),
        ("g", "y"),
    ]  # a value that only other items have is no column
    net = ItemNet({"ids": IdsBlock(n_rows=5, n_factors=4, dropout=0.0), "categories": categories}, SumCombiner(n_factors=4))
    matrix, ids, weight = net(), net.blocks["ids"].embedding.weight, categories.embedding.weight
    torch.testing.assert_close(matrix[1], ids[1] + weight[0] + weight[1])
    torch.testing.assert_close(matrix[2], ids[2] + weight[2])
    for row in (0, 3, 4):
        torch.testing.assert_close(matrix[row], ids[row])
    only = CategoriesBlock(n_rows=5, n_factors=4, vocabulary=vocabulary, item_features=features, features=["d"], dropout=0.0)
    assert only.embedding.num_embeddings == 1
    with pytest.raises(ConfigError, match=r"'genre'.*allowed: d, g"):
        CategoriesBlock(n_rows=5, n_factors=4, vocabulary=vocabulary, item_features=features, features=["genre"], dropout=0.0)


def test_initialisation_is_xavier_normal_for_matrices_only() -> None:
    encoder = encoder_of(3000, pad_key=False)
    encoder.initialise()
    table = encoder.item_net.blocks["ids"].embedding.weight
    assert table.std().item() == pytest.approx(np.sqrt(2 / (3001 + 16)), rel=0.05)
    stacked = encoder.layers.blocks[0].attention.in_weight
    assert stacked.std().item() == pytest.approx(np.sqrt(2 / (3 * 16 + 16)), rel=0.15)
