"""The encoder as ONNX, checked against PyTorch before it counts."""

import importlib.util
import logging
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from recseq.data.sequences import SequenceStore
from recseq.errors import ConfigError
from recseq.lifecycle.padded import PaddedEncoder
from recseq.models.sequential import SequentialRecommender

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-4  # of the largest number, where that is above 1
N_CHECKED = 64  # users
INPUTS = ("items", "lengths")
OUTPUT = "user_vectors"


def require_packages() -> None:
    """Refuse to begin without the packages that export and check.

    Raises:
        ConfigError: One is missing.
    """
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise ConfigError(
            f"export.onnx is true, which needs {', '.join(missing)}; install recseq's extra: pip install 'recseq[onnx]', "
            f"or export without: export.onnx=false"
        )


def input_columns(model: SequentialRecommender) -> int:
    """Newest items of a history that the encoder takes, S."""
    return model.objective.inference_rows(model.session_max_len)


def write_encoder(model: SequentialRecommender, path: Path) -> float:
    """Write the encoder of a loaded model, with its item matrix.

    Args:
        model: The model, on the CPU.
        path: The file; weights of more than ONNX's 2 GB go to a second one beside it.

    Returns:
        The largest difference from PyTorch.

    Raises:
        ConfigError: The model's parts cannot be exported, or give other numbers as ONNX.
    """
    width = input_columns(model)
    if width < 1:
        raise ConfigError(f"the model looks at {width} items of a history: there is nothing to export")
    model.module.eval()
    padded = PaddedEncoder(model.encoder, model.vocabulary.mask_item if model.objective.needs_mask else None).eval()
    store = made_up_histories(model.vocabulary.n_items, width)
    items, lengths = as_rows(store, width)
    batch = torch.export.Dim("batch")
    columns = {1: torch.export.Dim("length", max=width)} if width > 1 else {}
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")  # misses torchvision aloud
    level = registration.level
    registration.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                padded,
                (torch.from_numpy(items), torch.from_numpy(lengths)),
                dynamo=True,
                input_names=list(INPUTS),
                output_names=[OUTPUT],
                dynamic_shapes=({0: batch, **columns}, {0: batch}),
                verbose=False,
            )
        assert program is not None
        program.save(str(path))
    except Exception as error:  # each part that cannot be exported has its own
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise ConfigError(f"this model's encoder cannot be exported to ONNX, use export.onnx=false: {told[0]}") from error
    finally:
        registration.setLevel(level)
    return check_encoder(model, path, store)


def check_encoder(model: SequentialRecommender, path: Path, store: SequenceStore) -> float:
    """Compare a written encoder with the model, on histories in one batch and on the first alone.

    Returns:
        The largest difference.

    Raises:
        ConfigError: It is too large.
    """
    import onnxruntime

    with torch.inference_mode():
        hidden = model.ranker.user_vectors(store, model.encoder.item_net())
        wanted = model.encoder.similarity.of_users(hidden).float().numpy()
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    items, lengths = as_rows(store, input_columns(model))
    (all_users,) = session.run([OUTPUT], dict(zip(INPUTS, (items, lengths), strict=True)))
    (first,) = session.run([OUTPUT], dict(zip(INPUTS, (items[:1, : lengths[0]], lengths[:1]), strict=True)))
    difference = float(max(np.abs(all_users - wanted).max(), np.abs(first - wanted[:1]).max()))
    if not difference <= TOLERANCE * max(1.0, float(np.abs(wanted).max())):  # NaN is too large as well
        raise ConfigError(
            f"this model's encoder gives other numbers as ONNX than in PyTorch, they differ by {difference:.2g}: a part of it may look at "
            f"times, or at more than its user's cells; use export.onnx=false"
        )
    return difference


def made_up_histories(n_items: int, width: int) -> SequenceStore:
    """Random users with 1 to 2 S items, the first with the fewest, at random times."""
    draw = np.random.default_rng(0)
    lengths = np.sort(draw.integers(1, 2 * width, N_CHECKED, endpoint=True))
    n_rows = int(lengths.sum())
    return SequenceStore(
        user_ids=pl.Series(range(N_CHECKED)),
        items=torch.from_numpy(draw.integers(1, n_items, n_rows, endpoint=True, dtype=np.int32)),
        offsets=torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)])),
        weights=torch.ones(n_rows),
        seconds=torch.from_numpy(np.cumsum(draw.integers(1, 10**6, n_rows))),
        lengths=lengths,
        n_items=n_items,
    )


def as_rows(store: SequenceStore, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Histories as the exported encoder takes them: the newest S items of each, (B, S), and how many, (B,)."""
    recent = store.tail(width)
    cells = np.arange(width) < recent.lengths[:, None]
    items = np.zeros(cells.shape, dtype=np.int64)
    items[cells] = recent.items.numpy()
    return items, recent.lengths
