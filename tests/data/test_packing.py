import numpy as np
import pytest
import torch
from conftest import interactions
from torch.utils._python_dispatch import TorchDispatchMode

from recseq.data import packing
from recseq.data.batches import TrainLoader, inference_batches
from recseq.data.objectives import Shifted
from recseq.data.packing import PackedBatch
from recseq.data.sequences import Histories, SequenceStore
from recseq.data.vocabulary import Vocabulary


def store_of(lengths: list[int], n_items: int = 50) -> SequenceStore:
    rng = np.random.default_rng(0)
    rows = [(user, int(rng.integers(n_items)), day) for user, length in enumerate(lengths) for day in range(length)]
    histories = Histories.from_frame(interactions(rows).frame)
    return SequenceStore.from_histories(histories, Vocabulary.from_items(histories.rows["item_id"]))


def first_batch(lengths: list[int]) -> PackedBatch:
    return next(iter(TrainLoader(store_of(lengths), Shifted(), len(lengths), seed=0)))


@pytest.fixture(params=["one chunk", "many chunks"])
def _chunking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "CHUNK_MIN_CELLS", 1 if request.param == "many chunks" else 10**9)


@pytest.mark.usefixtures("_chunking")
def test_pad_and_pack_are_inverse_and_keep_users_apart() -> None:
    batch = first_batch([9, 2, 6, 2, 4, 3])
    x = torch.arange(1, batch.n_tokens + 1, dtype=torch.float64)[:, None].repeat(1, 3).requires_grad_()
    padded = batch.pad(x)
    assert padded.shape == (6, 8, 3)
    for user, (start, end) in enumerate(zip(batch.offsets[:-1].tolist(), batch.offsets[1:].tolist(), strict=True)):
        torch.testing.assert_close(padded[user, : end - start], x[start:end])
        assert not padded[user, end - start :].any()
    torch.testing.assert_close(batch.pack(padded), x)
    parts = [chunk.pack(chunk.pad(x)) for chunk in batch.chunks()]
    torch.testing.assert_close(torch.cat(parts), x)
    assert torch.autograd.gradcheck(lambda y: batch.pack(batch.pad(y) ** 2), (x / 7,))


def test_chunks_cover_the_batch_and_hold_users_of_like_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "CHUNK_MIN_CELLS", 8)
    batch = first_batch([41, 40, 20, 11, 9, 5, 4, 3, 2, 2])
    chunks = batch.chunks()
    assert len(chunks) > 2
    assert [chunk.users.start for chunk in chunks[1:]] == [chunk.users.stop for chunk in chunks[:-1]]
    assert chunks[0].users.start == 0
    assert chunks[-1].users.stop == batch.n_users
    for chunk in chunks[:-1]:
        assert batch.lengths[chunk.users].min() * packing.CHUNK_LENGTH_RATIO >= chunk.longest
    assert batch.chunks() is chunks


def test_positions_count_from_the_newest_item() -> None:
    batch = first_batch([4, 2, 3])
    assert batch.positions.tolist() == [2, 1, 0, 1, 0, 0]
    assert batch.lengths.tolist() == [3, 2, 1]


def test_loader_yields_every_sequence_once_an_epoch_in_another_order() -> None:
    store = store_of([3, 5, 2, 8, 4, 6, 2])
    loader = TrainLoader(store, Shifted(), 3, seed=5)
    epochs = []
    for epoch in range(2):
        loader.set_epoch(epoch)
        batches = list(loader)
        assert [batch.n_users for batch in batches] == [3, 3, 1]
        assert sum(batch.n_tokens for batch in batches) == loader.n_tokens == sum([2, 4, 1, 7, 3, 5, 1])
        epochs.append(sorted(tuple(batch.targets.tolist()) for batch in batches))
    assert epochs[0] != epochs[1]
    loader.set_epoch(0)
    again = sorted(tuple(batch.targets.tolist()) for batch in loader)
    assert again == epochs[0]


def test_worked_example_of_the_shifted_objective() -> None:
    rows = [("u1", "i2", 0), ("u1", "i3", 1), ("u1", "i1", 2), ("u2", "i3", 0), ("u2", "i1", 1)]
    histories = Histories.from_frame(interactions(rows).frame).keep(2, Shifted().stored_rows(5))
    vocabulary = Vocabulary.from_items(histories.rows["item_id"])
    batch = next(iter(TrainLoader(SequenceStore.from_histories(histories, vocabulary), Shifted(), 2, seed=0)))
    name = dict(enumerate(vocabulary.item_ids, start=1))
    assert [name[i] for i in batch.items.tolist()] == ["i2", "i3", "i3"]
    assert [name[i] for i in batch.targets.tolist()] == ["i3", "i1", "i1"]
    assert batch.target_rows is None


def test_inference_keeps_the_newest_items_and_orders_users_by_length() -> None:
    store = store_of([2, 7, 4]).tail(5)
    batches = list(inference_batches(store, Shifted(), 2))
    assert [users.tolist() for users, _ in batches] == [[1, 2], [0]]
    assert [batch.lengths.tolist() for _, batch in batches] == [[5, 4], [2]]
    assert batches[0][1].items[:5].tolist() == store_of([2, 7, 4]).items[4:9].tolist()


class _Shapes(TorchDispatchMode):
    """Collects the shapes of all tensors that operations make while it is not inside attention."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = 0
        self.shapes: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        if not self.inside:
            for tensor in out if isinstance(out, (tuple, list)) else [out]:
                if isinstance(tensor, torch.Tensor):
                    self.shapes.add(tuple(tensor.shape))
        return out


def test_no_tensor_outside_attention_has_a_padded_length_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    """B = 7 users, longest 31: any (7, 31, ...) or (217, ...) would be padding in disguise."""
    from recseq.nets import attention
    from recseq.nets.combiner import SumCombiner
    from recseq.nets.encoder import SequenceEncoder
    from recseq.nets.item_net import ItemNet
    from recseq.nets.item_net_blocks import IdsBlock
    from recseq.nets.layers import SASRecLayers
    from recseq.nets.positions import LearnablePositions
    from recseq.nets.similarity import Dot
    from recseq.training.losses import SoftmaxLoss

    monkeypatch.setattr(packing, "CHUNK_MIN_CELLS", 10**9)
    store = store_of([32, 3, 2, 5, 2, 9, 4], n_items=13)
    n_items = int(store.items.max())
    sizes = {"n_blocks": 2, "n_factors": 12, "n_heads": 2, "dropout_rate": 0.1}
    encoder = SequenceEncoder(
        item_net=ItemNet({"ids": IdsBlock(n_rows=n_items + 1, n_factors=12, dropout=0.0)}, SumCombiner(n_factors=12)),
        positions=LearnablePositions(session_max_len=31, n_factors=12),
        similarity=Dot(),
        layers=SASRecLayers(**sizes),
        dropout_rate=0.1,
        causal=True,
        pad_key_len=31,
    )
    shapes = _Shapes()

    def inside_attention(function):  # type: ignore[no-untyped-def]
        def wrapped(*args, **kwargs):  # type: ignore[no-untyped-def]
            shapes.inside += 1
            try:
                return function(*args, **kwargs)
            finally:
                shapes.inside -= 1

        return wrapped

    monkeypatch.setattr(attention.PackedAttention, "forward", inside_attention(attention.PackedAttention.forward))
    monkeypatch.setattr(attention.AttentionPlan, "of_batch", inside_attention(attention.AttentionPlan.of_batch))
    with shapes:
        batch = next(iter(TrainLoader(store, Shifted(), 7, seed=0)))
        matrix = encoder.item_net()
        hidden = batch.rows_with_target(encoder(batch, matrix))
        SoftmaxLoss(n_items=n_items, logits_t=1.0)(hidden, batch, matrix)
    n_users, longest = batch.n_users, int(batch.lengths.max())
    assert (n_users, longest, batch.n_tokens) == (7, 31, 50)
    assert (50, 12) in shapes.shapes  # it did look at the step
    for shape in shapes.shapes:
        assert n_users * longest not in shape, shape
        assert longest not in shape[1:], shape
