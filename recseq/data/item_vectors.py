"""Given item vectors: text or image embeddings from a file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch

from recseq.data.vocabulary import Vocabulary
from recseq.errors import DataError


@dataclass(frozen=True)
class ItemVectors:
    """Vectors of items.

    Args:
        item_ids: Distinct item ids, (n,).
        vectors: (n, width) float32, finite.
    """

    item_ids: pl.Series
    vectors: np.ndarray

    def of_vocabulary(self, vocabulary: Vocabulary, n_rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors in the order of a vocabulary.

        Returns:
            (n_rows, width), zero for padding, MASK and items without a vector, and which rows have one, (n_rows,) bool.
        """
        items = vocabulary.encode(self.item_ids)
        known = items.is_not_null().to_numpy()
        rows = items.drop_nulls().to_numpy().astype(np.int64)
        vectors = torch.zeros(n_rows, self.vectors.shape[1])
        vectors[torch.from_numpy(rows)] = torch.from_numpy(self.vectors[known])
        mask = torch.zeros(n_rows, dtype=torch.bool)
        mask[torch.from_numpy(rows)] = True
        return vectors, mask


def read_item_vectors(path: Path, ids: Path | None, id_type: pl.DataType) -> ItemVectors:
    """Read vectors.

    Args:
        path: Parquet with the columns `item_id` and `vector` (lists or arrays of numbers, all of one length), or NPY of shape (n, width).
        ids: For NPY, a file with the item id of each row: NPY (n,) or text, one a line.
        id_type: Type of item ids in the data, Int64 or String.

    Raises:
        DataError: A file is missing or not of that form; the message names it and the row.
    """
    for file in (path, ids):
        if file is not None and not file.is_file():
            raise DataError(f"{file} does not exist; item_net.pretrained takes a Parquet file (item_id, vector) or an NPY file and ids")
    if path.suffix.lower() in (".parquet", ".pq"):
        if ids is not None:
            raise DataError(f"item_net.pretrained.ids is {str(ids)!r}, but {path} has its own column item_id; leave it empty (null)")
        item_ids, vectors = _from_parquet(path)
    elif path.suffix.lower() == ".npy":
        item_ids, vectors = _from_npy(path, ids)
    else:
        raise DataError(f"{path} must be a .parquet or an .npy file")
    if item_ids.null_count() or item_ids.len() != item_ids.n_unique():
        raise DataError(f"{path}: item ids must be there and distinct, found {item_ids.null_count()} missing and repeats")
    try:
        item_ids = item_ids.cast(id_type)
    except pl.exceptions.PolarsError:
        raise DataError(f"{path}: item ids such as {item_ids[0]!r} are not of the data's type {id_type}") from None
    bad = np.flatnonzero(~np.isfinite(vectors).all(1))
    if len(bad):
        raise DataError(f"{path}, row {bad[0] + 1}: the vector has a value that is not finite ({len(bad)} such rows)")
    return ItemVectors(item_ids.alias("item_id"), vectors)


def _from_parquet(path: Path) -> tuple[pl.Series, np.ndarray]:
    try:
        frame = pl.read_parquet(path, glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path} is no readable Parquet file: {str(error).splitlines()[0]}") from None
    missing = [name for name in ("item_id", "vector") if name not in frame.columns]
    if missing:
        raise DataError(f"{path} has no column {missing[0]!r}; it has {', '.join(frame.columns)}")
    if not isinstance(frame.schema["vector"], (pl.List, pl.Array)):
        raise DataError(f"{path}: column 'vector' has type {frame.schema['vector']}, must be lists of numbers")
    vector = frame["vector"].cast(pl.List(pl.Float32))
    lengths = vector.list.len()
    odd = (lengths.fill_null(0) != lengths[0]).arg_max() if frame.height else None
    if odd is None or not lengths[0]:
        raise DataError(f"{path} has no vectors")
    if lengths[odd] != lengths[0]:
        raise DataError(f"{path}, row {odd + 1}: the vector has length {lengths[odd]}, the first has {lengths[0]}")
    return frame["item_id"], vector.explode().to_numpy().reshape(frame.height, -1).astype(np.float32)


def _from_npy(path: Path, ids: Path | None) -> tuple[pl.Series, np.ndarray]:
    if ids is None:
        raise DataError(f"item_net.pretrained.ids must name the file with the item id of each row of {path}")
    try:
        vectors = np.load(path, allow_pickle=False)
        item_ids = np.load(ids, allow_pickle=False) if ids.suffix.lower() == ".npy" else ids.read_text(encoding="utf-8").split()
    except (ValueError, OSError) as error:
        raise DataError(f"{path} or {ids} cannot be read: {error}") from None
    if vectors.ndim != 2 or not np.issubdtype(vectors.dtype, np.number):
        raise DataError(f"{path} has shape {vectors.shape} and type {vectors.dtype}, must be numbers of shape (n, width)")
    if len(item_ids) != len(vectors):
        raise DataError(f"{ids} has {len(item_ids)} ids, {path} has {len(vectors)} rows; they must be as many")
    return pl.Series("item_id", item_ids), vectors.astype(np.float32)
