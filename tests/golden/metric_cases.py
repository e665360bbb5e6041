"""Random recommendation tables, small and awkward, made from seeds with numpy alone.

The script in RecTools' environment and the test in recseq's make the same ones.
"""

import zlib
from dataclasses import dataclass

import numpy as np

N_CASES = 400
N_WITH_USERS = 60  # cases whose values per user are kept too
KS = (1, 3, 10, 25)
REF_K = 5
METRICS = {  # column of the golden file: recseq's metric and its options
    "HitRate": ("HitRate", {}),
    "Precision": ("Precision", {}),
    "RPrecision": ("Precision", {"r_precision": True}),
    "Recall": ("Recall", {}),
    "MAP": ("MAP", {}),
    "MAP_by_k": ("MAP", {"divide_by_k": True}),
    "NDCG": ("NDCG", {}),
    "NDCG_ideal_k": ("NDCG", {"ideal": "k"}),
    "MRR": ("MRR", {}),
    "Serendipity": ("Serendipity", {}),
    "Novelty": ("Novelty", {}),
    "AvgRecPopularity": ("AvgRecPopularity", {}),
    "AvgRecPopularity_normalised": ("AvgRecPopularity", {"normalize": True}),
    "CoveredUsers": ("CoveredUsers", {}),
    "Intersection": ("Intersection", {}),
    "Intersection_ref_k": ("Intersection", {"ref_k": REF_K}),
    "IntraListDiversity": ("IntraListDiversity", {"distance": "hamming"}),
    "CatalogCoverage": ("CatalogCoverage", {}),
}
AGGREGATES = ("CatalogCoverage",)
COLUMNS = [f"{name}@{k}" for name in METRICS for k in KS]


@dataclass(frozen=True)
class Case:
    """One fold and one model. Every table is a list of integer columns.

    Args:
        recommendations: user, item, rank; some users have none, some lists are short, some ranks are left out.
        reference: The same of another model.
        test: user, item; pairs may repeat, items may be cold, users may have no recommendations.
        train: user, item; pairs may repeat, many items are equally popular.
        categories: item, value; some items have none.
    """

    recommendations: list[np.ndarray]
    reference: list[np.ndarray]
    test: list[np.ndarray]
    train: list[np.ndarray]
    categories: list[np.ndarray]

    @property
    def users(self) -> np.ndarray:
        """Test users and users with recommendations, sorted."""
        return np.union1d(self.test[0], self.recommendations[0])

    @property
    def checksum(self) -> int:
        """The same in both environments, or the comparison means nothing."""
        columns = [column for table in vars(self).values() for column in table]
        return zlib.crc32(np.concatenate(columns).astype(np.int64).tobytes())


def make(seed: int) -> Case:
    """The case of a seed."""
    rng = np.random.default_rng(seed)
    n_users, n_items = int(rng.integers(3, 40)), int(rng.integers(12, 60))
    n_rows = int(rng.integers(n_items, 6 * n_items))
    skew = 1 + 2 * rng.random()
    train = [rng.integers(0, n_users, n_rows), (n_items * 0.9 * rng.random(n_rows) ** skew).astype(np.int64)]  # the last items stay cold
    n_pairs = int(rng.integers(1, 4 * n_users))
    test = [rng.integers(0, n_users, n_pairs), (n_items * rng.random(n_pairs) ** skew).astype(np.int64)]
    lists = [_lists(rng, n_users, n_items) for _ in range(2)]
    n_labels = int(rng.integers(1, 3 * n_items))
    labels = np.unique(np.stack([rng.integers(0, n_items, n_labels), rng.integers(0, 6, n_labels)]), axis=1)
    return Case(lists[0], lists[1], test, train, [labels[0], labels[1]])


def _lists(rng: np.random.Generator, n_users: int, n_items: int) -> list[np.ndarray]:
    """Lists of 0 to 12 distinct items, for some of the users and for some that are nowhere else."""
    users, items, ranks = [], [], []
    gaps = rng.random() < 0.2
    for user in range(n_users + 3):
        length = int(rng.integers(0, 13))
        if user and rng.random() < 0.3:
            continue
        chosen = np.argsort(rng.random(n_items) * (1 + np.arange(n_items)))[: max(length, 1)]
        kept = np.arange(1, len(chosen) + 1)
        if gaps:
            kept += rng.integers(0, 3)
        users.append(np.full(len(chosen), user))
        items.append(chosen)
        ranks.append(kept)
    return [np.concatenate(users), np.concatenate(items), np.concatenate(ranks)]
