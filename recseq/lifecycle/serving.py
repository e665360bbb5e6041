"""A saved model as MLflow serves it: histories of items in, ranked items with their scores out."""

from typing import Any

import pandas as pd
import polars as pl
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from recseq.data.interactions import Interactions
from recseq.errors import RecseqError
from recseq.lifecycle.loading import item_id_type, load_model
from recseq.models import Request

ARTIFACT = "recseq"  # what the MLflow model calls the model folder inside it


class ServedModel(PythonModel):
    """The pyfunc. One row of input is one user, who need not have been there in training.

    Columns of the input: `items`, the user's item ids, oldest first; `exclude`, where there is one, ids that the user must not get.
    Parameters: `k`, recommendations a row; `filter_viewed`, leave out what is in `items`. Times are not asked for: the order of `items`
    stands for them. Unknown ids are passed over.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model folder; `model_config` may be overridden where the MLflow model is loaded: `accelerator: cpu`."""
        folder, options = context.artifacts[ARTIFACT], context.model_config
        self.model = load_model(folder, options["plugins"], options["accelerator"]).model
        self.id_type = item_id_type(folder)

    def predict(self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Recommend.

        Args:
            context: Of MLflow.
            model_input: See the class.
            params: `k` and `filter_viewed`.

        Returns:
            A row for each of the input, in its order: lists `items` and `scores`, best first, empty for a user whom
            the model cannot serve.

        Raises:
            MlflowException: What the caller can mend; a server answers with status 400.
        """
        given = params or {}
        try:
            return self._recommend(model_input, int(given["k"]), bool(given["filter_viewed"]))
        except RecseqError as error:
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from None

    def _recommend(self, rows: pd.DataFrame, k: int, filter_viewed: bool) -> pd.DataFrame:
        if k < 1:
            raise MlflowException(f"k is {k}, must be at least 1", error_code=INVALID_PARAMETER_VALUE)
        users = pl.DataFrame({"user_id": pl.int_range(len(rows), dtype=pl.Int64, eager=True)})
        excluded = self._long(users, rows["exclude"]).unique() if "exclude" in rows else self._long(users, [[]] * len(rows))
        longest = excluded.group_by("user_id").len()["len"].max() or 0  # so many more are ranked, that k are left of them
        request = Request(
            user_ids=users["user_id"],
            history=Interactions.with_steps(self._long(users, rows["items"]).with_columns(pl.lit(1.0, pl.Float32).alias("weight"))),
            k=k + int(str(longest)),
            filter_viewed=filter_viewed,
            on_unsupported="ignore",
        )
        found = self.model.recommend(request).join(excluded, on=["user_id", "item_id"], how="anti").sort("user_id", "rank")
        lists = found.group_by("user_id", maintain_order=True).agg(items=pl.col("item_id").head(k), scores=pl.col("score").head(k))
        answer = users.join(lists, on="user_id", how="left", maintain_order="left").with_columns(
            pl.col("items").fill_null(pl.lit([], pl.List(self.id_type))), pl.col("scores").fill_null(pl.lit([], pl.List(pl.Float32)))
        )
        return pd.DataFrame({name: answer[name].to_list() for name in ("items", "scores")}, index=rows.index)

    def _long(self, users: pl.DataFrame, lists: Any) -> pl.DataFrame:
        """One row a user and id: columns `user_id`, `item_id`."""
        ids = pl.Series("item_id", [None if each is None else list(each) for each in lists], pl.List(self.id_type), strict=False)
        return users.with_columns(ids).explode("item_id").drop_nulls()
