"""Options of the groups of a config that are no parts: sizes, paths, metrics, and those of the modes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from recseq.metrics import Scoring, column_of, make_metrics
from recseq.options import NonNegativeInt, PositiveInt

Node = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The `size` group: what model files take their sizes from, so that one choice sizes every sequential model of a sweep.

    Args:
        session_max_len: Longest input, L.
        n_factors: Width, D.
        n_blocks: Transformer blocks.
        n_heads: Attention heads.
    """

    session_max_len: PositiveInt
    n_factors: PositiveInt
    n_blocks: PositiveInt
    n_heads: PositiveInt


@dataclass(frozen=True, kw_only=True)
class Paths:
    """Where things are.

    Args:
        outputs: Folder of runs, sweeps and the default MLflow store.
        data: Folder of fetched datasets; None goes by the environment variable RECSEQ_DATA, then the user's cache folder.
        cache: Folder of prepared data; it may be removed at any time.
        folders: Folder below outputs for what a mode writes, by mode; `runs` for the others.
    """

    outputs: str
    data: str | None
    cache: str
    folders: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class UploadOptions:
    """The `upload` group.

    Args:
        of: Folders of runs, of sweeps, or above them; only under mode=upload.
    """

    of: str | list[str] | None


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The `train` group: which models are made to stay.

    Args:
        fold: mode=train: train on the train part of this fold; None takes all rows.
        save_folds: mode=cross_validate: keep each fold's model, in `fold_<i>/model`.
        warm_start: mode=train and cross_validate: the model whose weights training begins with, as `model_path` names one.
        only_new: mode=train with `warm_start`: train on the users who have an interaction newer than the newest that the earlier
            model was trained on, and keep its items.
        log_model: Log the model that is kept in the form that MLflow serves.
        register: mode=train: name of the registered model in MLflow that it becomes a version of; `name@alias` also moves the alias to it.
    """

    fold: NonNegativeInt | None
    save_folds: bool
    warm_start: str | None
    only_new: bool
    log_model: bool
    register: str | None


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """The `evaluate` group.

    Args:
        fold: The fold whose test part the model is measured on; None takes the one that it was trained for, or, with other data or
            another splitter than those it was trained with, all.
    """

    fold: NonNegativeInt | None


@dataclass(frozen=True, kw_only=True)
class RecommendOptions:
    """The `recommend` group.

    Args:
        users: Whom to serve: a file with a column `user_id`, or a list; None serves everybody in the history.
        history: File of interactions, with columns as `dataset=tabular` has them, that tells what users have taken; None takes the
            dataset that the model was trained on.
        k: Recommendations a user.
        filter_viewed: Leave out everything in a user's history.
        items: What may be recommended: a file with a column `item_id`, or a list; None for all that the model knows.
        on_unsupported: What to do about users that the model cannot serve: `raise`, `warn` (drop and count) or `ignore`.
        format: Of the output; None goes by the name of `path`, Parquet without one.
        path: The output; None writes into the run's folder.
        users_per_chunk: Users that are ranked and written at once; bounds the memory.
    """

    users: list[int | str] | str | None
    history: str | None
    k: PositiveInt
    filter_viewed: bool
    items: list[int | str] | str | None
    on_unsupported: Literal["raise", "warn", "ignore"]
    format: Literal["parquet", "csv"] | None
    path: str | None
    users_per_chunk: PositiveInt


@dataclass(frozen=True, kw_only=True)
class SimilarOptions:
    """The `similar` group.

    Args:
        items: Whose neighbours: a file with a column `item_id`, or a list; None for all that the model knows.
        k: Neighbours an item.
        filter_itself: Leave the item itself out.
        format: Of the output; None goes by the name of `path`, Parquet without one.
        path: The output; None writes into the run's folder.
        items_per_chunk: Items whose neighbours are found and written at once; bounds the memory.
    """

    items: list[int | str] | str | None
    k: PositiveInt
    filter_itself: bool
    format: Literal["parquet", "csv"] | None
    path: str | None
    items_per_chunk: PositiveInt


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """The `export` group: what mode=export writes of the model in `model_path`.

    Args:
        onnx: The encoder as ONNX, with the numbers of its items.
        item_vectors: Item vectors as Parquet.
        path: Folder that is made; None takes `export` in the run's folder.
    """

    onnx: bool
    item_vectors: bool
    path: str | None


@dataclass(frozen=True, kw_only=True)
class MetricOptions:
    """The `metrics` group.

    Args:
        k: Cut-off, or a list of them.
        ref_k: Cut-off of reference models in metrics against them; None takes the metric's own.
        objective: The metric that a run returns to a sweep: MAP (at the largest cut-off) or, with its cut-off, MAP@10.
        significance: How differences from the reference models are tested: `SignificanceOptions`.
        include: Options of each metric by name.
    """

    k: PositiveInt | list[PositiveInt]
    ref_k: PositiveInt | None
    objective: str
    significance: Node
    include: dict[str, Any]

    @property
    def cutoffs(self) -> list[int]:
        """All cut-offs, sorted."""
        return sorted(set(self.k)) if isinstance(self.k, list) else [self.k]

    @property
    def objective_column(self) -> str:
        """Column of the objective."""
        return column_of(self.objective, self.cutoffs)

    def scoring(self) -> Scoring:
        """The metrics, built."""
        return Scoring(list(make_metrics(self.include, self.ref_k).values()), self.cutoffs)
