import numpy as np
import pytest
import torch
from conftest import interactions

from recseq.data.batches import TrainLoader, inference_batches
from recseq.data.objectives import Masking, NextAction
from recseq.data.sequences import Histories, SequenceStore
from recseq.data.vocabulary import Vocabulary


def store_of(lengths: list[int], n_items: int = 40) -> SequenceStore:
    rng = np.random.default_rng(0)
    rows = [(user, int(rng.integers(n_items)), day) for user, length in enumerate(lengths) for day in range(length)]
    histories = Histories.from_frame(interactions(rows).frame)
    return SequenceStore.from_histories(histories, Vocabulary.from_items(histories.rows["item_id"]))


def test_next_action_has_one_target_a_user_which_is_no_input() -> None:
    store = store_of([4, 2, 7])
    (batch,) = TrainLoader(store, NextAction(), 3, seed=0)
    assert batch.n_targets == 3
    assert batch.lengths.tolist() == [6, 3, 1]
    ends = [store.offsets[u + 1].item() - 1 for u in (2, 0, 1)]
    assert batch.targets.tolist() == store.items[ends].tolist()
    assert batch.items[:6].tolist() == store.items[6:12].tolist()
    assert torch.equal(batch.target_rows, batch.offsets[1:] - 1)


def test_masking_chooses_and_replaces_in_the_shares_it_says() -> None:
    store = store_of([50] * 2000)
    loader = TrainLoader(store, Masking(mask_prob=0.15), 2000, seed=3)
    (batch,) = loader
    assert batch.n_targets / batch.n_tokens == pytest.approx(0.15, abs=0.005)
    order = np.random.default_rng([3, 0]).permutation(2000)  # all of one length: the batch's order is the epoch's
    original = torch.cat([store.items[store.offsets[u] : store.offsets[u + 1]] for u in order]).long()
    rows = batch.target_rows
    assert torch.equal(batch.targets, original[rows])
    untouched = torch.ones(batch.n_tokens, dtype=torch.bool)
    untouched[rows] = False
    assert torch.equal(batch.items[untouched], original[untouched])
    mask_item = store.n_items + 1
    masked = (batch.items[rows] == mask_item).float().mean().item()
    same = (batch.items[rows] == batch.targets).float().mean().item()
    assert masked == pytest.approx(0.8, abs=0.01)
    assert same == pytest.approx(0.1 + 0.1 / store.n_items, abs=0.01)
    assert batch.items.min() >= 1
    assert batch.items.max() == mask_item


def test_masking_draws_anew_each_epoch_and_again_the_same_with_the_same_seed() -> None:
    store = store_of([5, 9, 12, 4, 8, 30])
    loader = TrainLoader(store, Masking(mask_prob=0.3), 2, seed=1)
    epochs = []
    for epoch in (0, 1, 0):
        loader.set_epoch(epoch)
        epochs.append([(batch.target_rows.tolist(), batch.items.tolist()) for batch in loader])
    assert epochs[0] == epochs[2]
    assert epochs[0] != epochs[1]


def test_a_batch_without_a_chosen_token_gets_one() -> None:
    store = store_of([3, 2, 4, 2, 5, 2])
    for seed in range(20):
        for batch in TrainLoader(store, Masking(mask_prob=0.01), 1, seed=seed):
            assert batch.n_targets >= 1
            assert batch.target_rows.min() >= 0
            assert batch.target_rows.max() < batch.n_tokens
            assert torch.isin(batch.targets, store.items.long()).all()


def test_masking_appends_mask_after_the_last_items_at_inference() -> None:
    store = store_of([2, 7])
    objective = Masking(mask_prob=0.15)
    recent = store.tail(objective.inference_rows(5))
    ((users, batch),) = inference_batches(recent, objective, 2)
    assert users.tolist() == [1, 0]
    mask_item = store.n_items + 1
    assert batch.items.tolist() == [*store.items[5:9].tolist(), mask_item, *store.items[:2].tolist(), mask_item]
    assert batch.positions.tolist() == [4, 3, 2, 1, 0, 2, 1, 0]
    assert batch.seconds[-1] == batch.seconds[-2]
