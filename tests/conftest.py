"""Fixtures that several tests share."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hydra import compose, initialize_config_dir
from loopback import Loopback

from recseq.data.fetching.download import Patience
from recseq.data.interactions import Interactions
from recseq.data.packing import PackedBatch
from recseq.files import conf_folder

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so it is in the background of a script, and programs that tests start inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def movietweetings() -> Path:
    """Folder of the real data beside the repository; tests that need it skip where it is not there."""
    folder = SHARED / "data" / "movietweetings"
    if not (folder / "ratings.dat").exists():
        pytest.skip("real data is not there: ../shared/data/movietweetings beside the repository")
    return folder


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """A web server on this machine; downloads are impatient and meet no proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(Patience, "from_environment", classmethod(lambda cls: cls(timeout_s=0.5, attempts=2, pause_s=0.01)))
    server = Loopback()
    yield server
    server.close()


def composed(*overrides: str) -> Any:
    """The config that these overrides compose, as Hydra gives it."""
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return compose("config", overrides=list(overrides))


def interactions(rows: list[tuple[Any, Any, int]]) -> Interactions:
    """Interactions from (user, item, day) rows, weight 1."""
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "day"], orient="row")
    return Interactions(
        frame.select(
            "user_id",
            "item_id",
            (pl.datetime(2024, 1, 1) + pl.duration(days="day")).cast(pl.Datetime("us")).alias("datetime"),
            pl.lit(1.0, pl.Float32).alias("weight"),
        )
    )


def batch_of(targets: torch.Tensor, weights: torch.Tensor | None = None, lengths: list[int] | None = None) -> PackedBatch:
    """A batch whose every token has a target, one user unless `lengths` says otherwise."""
    lengths = lengths or [len(targets)]
    positions = torch.cat([torch.arange(length - 1, -1, -1) for length in lengths])
    return PackedBatch(
        items=targets,
        offsets=torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()]),
        positions=positions,
        seconds=torch.zeros(len(targets), dtype=torch.int64),
        lengths=np.array(lengths),
        targets=targets,
        weights=torch.ones(len(targets)) if weights is None else weights,
        target_rows=None,
    )


TINY_MODEL = ("model.session_max_len=5", "model.n_factors=8", "model.n_blocks=1", "model.n_heads=2", "model.batch_size=4")
