"""Top k over the catalogue: batched, with the viewed filter, ties by item order."""

from dataclasses import dataclass

import torch

# Cells of one block of scores (users x candidates); 2**25 float32 take 128 MiB.
MAX_CELLS = 2**25


@dataclass(frozen=True)
class Viewed:
    """Candidates that each user must not get, as compressed sparse rows.

    Args:
        candidates: Candidate indices of all users end to end, (nnz,) int64.
        offsets: User u owns `candidates[offsets[u]:offsets[u + 1]]`, (U + 1,) int64, on the host.
    """

    candidates: torch.Tensor
    offsets: torch.Tensor

    def mask(self, scores: torch.Tensor, first_user: int) -> None:
        """Set the scores (B, C) of viewed candidates to -inf in place; row 0 belongs to `first_user`."""
        bounds = self.offsets[first_user : first_user + len(scores) + 1]
        cells = self.candidates[int(bounds[0]) : int(bounds[-1])]
        users = torch.repeat_interleave(torch.arange(len(scores)), bounds.diff())
        scores[users.to(scores.device), cells] = -torch.inf


def top_k(users: torch.Tensor, items: torch.Tensor, k: int, viewed: Viewed | None) -> tuple[torch.Tensor, torch.Tensor]:
    """The k best candidates of each user by dot product.

    Args:
        users: User vectors, (U, D).
        items: Candidate vectors, (C, D).
        k: Length of the lists; fewer than k candidates give shorter lists.
        viewed: What to leave out.

    Returns:
        Candidate indices (U, min(k, C)) int64 and scores (U, min(k, C)) float32; a score of -inf marks the places that are left over
        where a user has fewer candidates than k.
    """
    n_users, n_items = len(users), len(items)
    k = min(k, n_items)
    batch_size = max(1, MAX_CELLS // max(n_items, 1))
    indices = torch.empty((n_users, k), dtype=torch.int64)
    scores = torch.empty((n_users, k), dtype=torch.float32)
    for first in range(0, n_users, batch_size):
        part = slice(first, min(first + batch_size, n_users))
        block = (users[part] @ items.T).float()  # (B, C)
        if viewed is not None:
            viewed.mask(block, first)
        best, places = stable_top_k(block, k)
        indices[part], scores[part] = places.cpu(), best.cpu()
    return indices, scores


def stable_top_k(scores: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`torch.topk` over the last dimension with ties by index, which topk leaves open.

    Items that share all their features have equal vectors, so ties are common where items are known by features alone.

    Args:
        scores: (B, C) float32.
        k: At most C.

    Returns:
        Scores and indices, (B, k) each.
    """
    best, places = torch.topk(scores, min(k + 1, scores.shape[1]))
    tied = (best[:, 1:] == best[:, :-1]).any(1)  # inside the list or across its end
    best, places = best[:, :k], places[:, :k]
    rows = tied.nonzero().squeeze(1)
    if len(rows):
        n = scores.shape[1]
        bits = (scores[rows] + 0.0).view(torch.int32).long()  # + 0.0 makes -0.0 to 0.0
        ordered = torch.where(bits >= 0, bits, -(bits & 0x7FFFFFFF))  # integers in the order of the floats
        keys = ordered * n + torch.arange(n - 1, -1, -1, device=scores.device)
        places[rows] = torch.topk(keys, k).indices
        best[rows] = scores[rows].gather(1, places[rows])
    return best, places
