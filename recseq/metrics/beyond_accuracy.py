"""What recommendations are like besides right: surprising, popular, spread, like another model's."""

import numpy as np
import polars as pl

from recseq.metrics.base import METRICS, Evaluation, Floats, Metric


@METRICS.register("Serendipity")
class Serendipity(Metric):
    """Hits that popularity alone would not have given.

    Mean over the user's recommendations of rank <= k of `max(p_u - p_any, 0) * hit` with `p_u = (n + 1 - rank) / n`,
    `p_any = (n + 1 - pop_rank) / n`, n the size of the train catalogue and pop_rank the dense rank of the item's train rows;
    p_any is 0 for an item not in train. Over users with recommendations. As RecTools.
    """

    label = "Serendipity"

    def per_user(self, evaluation: Evaluation, k: int) -> Floats:
        """Mean surprise of the list."""
        n = evaluation.catalogue.n_items
        p_user = (n + 1 - evaluation.rank) / n
        p_any = ((n + 1 - evaluation.recommended["pop_rank"].cast(pl.Float64)) / n).fill_null(0.0).to_numpy()
        return evaluation.mean_over_top(np.maximum(p_user - p_any, 0) * evaluation.hit, k)


@METRICS.register("AvgRecPopularity")
class AvgRecPopularity(Metric):
    """Mean number of train rows of the recommended items (0 for an item not in train), over users with recommendations.

    References:
        Abdollahpouri et al., Managing popularity bias in recommender systems with personalized re-ranking, 2019, arXiv:1901.07555.
    """

    label = "AvgRecPopularity"
    higher_is_better = False  # lower is further from recommending what is popular anyway

    def per_user(self, evaluation: Evaluation, k: int) -> Floats:
        """Mean popularity of the list."""
        return evaluation.mean_over_top(evaluation.recommended["rows"].cast(pl.Float64).fill_null(0.0).to_numpy(), k)


@METRICS.register("CoveredUsers")
class CoveredUsers(Metric):
    """Share of test users with at least one recommendation in the top k."""

    label = "CoveredUsers"

    def per_user(self, evaluation: Evaluation, k: int) -> Floats:
        """1 with a recommendation, 0 without."""
        return np.where(evaluation.test_users, evaluation.served(k).astype(np.float64), np.nan)


@METRICS.register("Intersection")
class Intersection(Metric):
    """Share of the model's top k that is in a reference model's top `ref_k`, over users with recommendations.

    One column a reference model: `Intersection@10_popular`.

    Args:
        ref_k: Cut-off of the reference; None takes the metric's own.
    """

    label = "Intersection"

    def __init__(self, ref_k: int | None = None) -> None:
        self.ref_k = ref_k

    def per_user(self, evaluation: Evaluation, k: int) -> Floats:
        """Against the only reference model.

        Raises:
            ValueError: There is none or more than one; `columns` has a value for each.
        """
        (values,) = self.columns(evaluation, k).values()
        return values

    @classmethod
    def column_names(cls, k: int, references: list[str]) -> list[str]:
        """One a reference model."""
        return [f"{cls.label}@{k}_{name}" for name in references]

    def columns(self, evaluation: Evaluation, k: int) -> dict[str, Floats]:
        """A column for each reference model."""
        ref_k = self.ref_k if self.ref_k is not None else k
        users = pl.DataFrame({"user_id": evaluation.user_ids}).with_row_index("user")
        found = {}
        for name, reference in evaluation.references.items():
            top = reference.filter(pl.col("rank") <= ref_k).join(users, on="user_id", how="inner")
            shared = evaluation.recommended.join(
                top.select("user", "item_id", shared=pl.lit(1.0)), on=["user", "item_id"], how="left", maintain_order="left"
            )
            found[f"{self.label}@{k}_{name}"] = evaluation.mean_over_top(shared["shared"].fill_null(0.0).to_numpy(), k)
        return found
