import pytest
import torch

from recseq import ranking
from recseq.ranking import Viewed, stable_top_k, top_k


def slow_top_k(scores: torch.Tensor, k: int) -> list[list[int]]:
    return [sorted(range(len(row)), key=lambda i, row=row: (-row[i], i))[:k] for row in scores.tolist()]


@pytest.mark.parametrize("k", [1, 3, 10])
def test_ties_are_broken_by_item_order(k: int) -> None:
    torch.manual_seed(0)
    scores = torch.randint(-3, 3, (200, 10)).float() / 3
    scores[0] = 0.0
    scores[1, ::2] = -0.0
    scores[2, 1:] = -torch.inf
    best, places = stable_top_k(scores, k)
    assert places.tolist() == slow_top_k(scores, k)
    torch.testing.assert_close(best, scores.gather(1, places))


def test_viewed_items_are_left_out_across_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    users, items = torch.randn(9, 4), torch.randn(6, 4)
    seen = [[0, 3], [], [5], [0, 1, 2, 3, 4], [2], [0, 1, 2, 3, 4, 5], [], [1], [4, 5]]
    offsets = torch.tensor([0, *torch.tensor([len(s) for s in seen]).cumsum(0).tolist()])
    viewed = Viewed(torch.tensor([i for s in seen for i in s]), offsets)
    expected = users @ items.T
    for user, places in enumerate(seen):
        expected[user, places] = -torch.inf
    for cells in (6, 13, 1000):
        monkeypatch.setattr(ranking, "MAX_CELLS", cells)
        places, scores = top_k(users, items, 4, viewed)
        assert places.tolist() == slow_top_k(expected, 4)
        assert (scores > -torch.inf).sum(1).tolist() == [min(4, 6 - len(s)) for s in seen]
    assert top_k(users, items, 50, None)[0].shape == (9, 6)
