"""What only a CUDA device can show; skipped where there is none."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from conftest import composed
from data.test_packing import store_of

from recseq.data.batches import TrainLoader
from recseq.data.objectives import Shifted
from recseq.modes import run
from recseq.nets.combiner import SumCombiner
from recseq.nets.encoder import SequenceEncoder
from recseq.nets.item_net import ItemNet
from recseq.nets.item_net_blocks import IdsBlock
from recseq.nets.layers import SASRecLayers
from recseq.nets.positions import LearnablePositions
from recseq.nets.similarity import Dot
from recseq.training.lightning_module import SequentialModule
from recseq.training.losses import SoftmaxLoss

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")]


@pytest.mark.parametrize("pad_key_len", [31, None])
def test_a_training_step_never_waits_for_the_device(pad_key_len: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cuda")
    store = store_of([32, 3, 2, 5, 2, 9, 4, 7, 12], n_items=13)
    n_items = int(store.items.max())
    encoder = SequenceEncoder(
        item_net=ItemNet({"ids": IdsBlock(n_rows=n_items + 1, n_factors=16, dropout=0.1)}, SumCombiner(n_factors=16)),
        positions=LearnablePositions(session_max_len=31, n_factors=16),
        similarity=Dot(),
        layers=SASRecLayers(n_blocks=2, n_factors=16, n_heads=2, dropout_rate=0.1),
        dropout_rate=0.1,
        causal=True,
        pad_key_len=pad_key_len,
    )
    module = SequentialModule(
        encoder=encoder,
        loss=SoftmaxLoss(n_items=n_items, logits_t=1.0),
        optimizer=torch.optim.Adam,
        scheduler=lambda *_: None,
        by_rows=False,
    ).to(device)
    monkeypatch.setattr(module, "log", lambda *args, **kwargs: None)
    optimizer = torch.optim.Adam(module.parameters(), fused=True)
    loader = TrainLoader(store.to(device), Shifted(), 4, seed=0)
    batches = iter(loader)
    module.training_step(next(batches), 0).backward()  # warm up: libraries may wait when they load
    torch.cuda.set_sync_debug_mode("error")
    try:
        for i, batch in enumerate(batches):
            optimizer.zero_grad()
            module.training_step(batch, i).backward()
            optimizer.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_metrics_on_a_gpu_lie_within_two_standard_errors_of_the_cpus(movietweetings: Path, tmp_path: Path) -> None:
    values: dict[str, list[float]] = {"cpu": [], "gpu": []}
    for device, found in values.items():
        for seed in (1, 2, 3):
            folder = tmp_path / f"{device}{seed}"
            small = ("model.session_max_len=20", "model.n_factors=64", "model.n_blocks=1", "trainer.max_epochs=5", f"seed={seed}")
            data = ("dataset=movietweetings", f"dataset.path={movietweetings}", "splitter.test_size=14D")
            run(composed(*data, *small, f"trainer={device}", "tracking=none", "trainer.enable_progress_bar=false"), folder)
            found.append(pl.read_csv(folder / "metrics.csv").filter(pl.col("model") == "sasrec")["MAP@10"].item())
    error = np.hypot(*(np.std(found, ddof=1) / np.sqrt(3) for found in values.values()))
    assert abs(np.mean(values["cpu"]) - np.mean(values["gpu"])) <= 2 * error
