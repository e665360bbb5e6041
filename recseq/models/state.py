"""What a fitted recommender is made of, as plain tensors and tables: what a model folder keeps."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl
import torch

from recseq.data.vocabulary import Vocabulary
from recseq.errors import DataError

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class ModelState:
    """Everything that a recommender has learnt; with its config it is the recommender again.

    Args:
        vocabulary: The items it knows.
        tensors: Learnt numbers by name, on the CPU.
        tables: Further tables by name, for what is no tensor.
        facts: `Recommender.facts`.
        needs_item_features: The item features of the data are needed to build the recommender again.
        files: Options that name a file of the user's, by config path, and the table that holds what was read from it; None: the table
            makes the option empty.
    """

    vocabulary: Vocabulary
    tensors: Mapping[str, torch.Tensor]
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    facts: Mapping[str, float] = field(default_factory=dict)
    needs_item_features: bool = False
    files: Mapping[str, str | None] = field(default_factory=dict)


def require_tensors(given: Mapping[str, torch.Tensor], wanted: Mapping[str, Shape], n_items: int) -> None:
    """Refuse tensors that are not those of a recommender.

    Args:
        given: Tensors by name.
        wanted: Their shapes; None is any length.
        n_items: Size of the vocabulary, for the message.

    Raises:
        DataError: One is missing, superfluous or of another shape.
    """
    if missing := sorted(set(wanted) - set(given)):
        raise DataError(
            f"the weights lack the tensor {missing[0]} ({len(missing)} missing); there are {', '.join(sorted(given)) or 'none'}"
        )
    if extra := sorted(set(given) - set(wanted)):
        raise DataError(f"the weights have the tensor {extra[0]}, which the configured model has not ({len(extra)} superfluous)")
    for name, shape in wanted.items():
        found = tuple(given[name].shape)
        if len(found) != len(shape) or any(want not in (None, have) for want, have in zip(shape, found, strict=True)):
            told = tuple("any" if length is None else length for length in shape)
            raise DataError(f"the tensor {name} has shape {found}, a vocabulary of {n_items} items and config.yaml ask for {told}")
