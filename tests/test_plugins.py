"""A user's own package of parts (tests/plugins/albert_parts), used as the README says: on the path, `plugins`, `--config-dir`."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from command_line import PROGRAM
from conftest import TINY_MODEL, composed, interactions
from models.test_sequential import FEATURES, ROWS, request

from recseq.config import check_config
from recseq.environment import seed_everything
from recseq.model_specs import groups_of, model_options
from recseq.models import MODELS
from recseq.models.sequential import SequentialRecommender
from recseq.training.context import FitContext

PLUGINS = Path(__file__).parent / "plugins"
USE = ("plugins=[albert_parts]", f"hydra.searchpath=[file://{PLUGINS}/albert_parts/conf]")


@pytest.fixture
def fit(monkeypatch: pytest.MonkeyPatch) -> Callable[..., SequentialRecommender]:
    monkeypatch.syspath_prepend(PLUGINS)

    def fitted(*overrides: str) -> SequentialRecommender:
        quiet = ("trainer=debug", "trainer.enable_progress_bar=false", "model.batch_size=16")
        config = check_config(composed(*USE, *TINY_MODEL, *quiet, *overrides))
        seed_everything(1, False)
        model = MODELS.build(model_options(config["model"]), groups=groups_of(config))
        assert isinstance(model, SequentialRecommender)
        model.fit(interactions(ROWS), FEATURES, FitContext(folder=None, seed=1))
        assert model.recommend(request([0, 1]))["score"].is_finite().all()
        return model

    return fitted


def test_albert_learns_small_vectors_and_shares_layers(fit: Callable[..., SequentialRecommender]) -> None:
    encoder = fit("model=albert", "model.combiner.inner_factors=3", "model.n_blocks=4", "model.layers.n_groups=2").encoder
    assert {block.embedding.weight.shape[1] for block in encoder.item_net.all_blocks()} == {3}
    assert encoder.item_net().shape[1] == 8
    assert encoder.layers.order == [0, 0, 1, 1]
    assert len(encoder.layers.groups) == 2


def test_positions_know_the_time_since_the_item_before(fit: Callable[..., SequentialRecommender]) -> None:
    model = fit("model/positions=session_gap")
    slow = interactions([(user, item, day * 30) for user, item, day in ROWS if user == 8])
    daily = interactions([row for row in ROWS if row[0] == 8])
    first, second = (model.recommend(request([8], k=2, history=history))["score"].to_list() for history in (daily, slow))
    assert first != second


def test_objective_trains_on_the_newest_items_only(fit: Callable[..., SequentialRecommender], monkeypatch: pytest.MonkeyPatch) -> None:
    from albert_parts.training import Penalised

    batches: list[Any] = []
    step = Penalised.training_step
    monkeypatch.setattr(Penalised, "training_step", lambda self, batch, i: batches.append(batch) or step(self, batch, i))
    fit("model/objective=recent", "model.objective.n_targets=2", "model/module=penalised")
    for batch in batches:
        assert batch.n_targets == sum(min(2, n) for n in batch.lengths)
        assert (batch.positions[batch.target_rows] < 2).all()


def test_loss_and_sampler(fit: Callable[..., SequentialRecommender]) -> None:
    loss = fit("loss=bpr", "loss/negatives=head", "loss.negatives.n_head=3").module.loss
    assert type(loss).__name__ == "BPRLoss"
    assert len(loss.sampler.items) == 3
    logits = torch.tensor([[2.0, 1.0, 2.0]])
    assert loss.losses(logits).item() == pytest.approx((torch.nn.functional.softplus(torch.tensor([-1.0, 0.0]))).mean().item())


def test_lightning_module_adds_its_penalty(fit: Callable[..., SequentialRecommender]) -> None:
    plain = fit("model/module=penalised", "model.module.penalty=0").encoder.item_net().norm().item()
    module = fit("model/module=penalised", "model.module.penalty=1000").module
    assert type(module).__name__ == "Penalised"
    assert module.encoder.item_net().norm().item() != plain


def test_metric_and_splitter_from_the_command_line(tmp_path: Path) -> None:
    small = ("dataset.n_users=300", "dataset.n_items=60", "dataset.n_interactions=2000", "dataset.n_directors=10", "dataset.n_genres=5")
    use = ("--config-dir", str(PLUGINS / "albert_parts" / "conf"), "plugins=[albert_parts]", "splitter=weekends", "metrics=first_hit")
    done = subprocess.run(
        [PROGRAM, *use, *small, "model=popular", "tracking=none"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PLUGINS)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("outputs/runs/*/*/metrics.csv")
    table = pl.read_csv(file)
    assert table["test_start"].str.to_datetime().dt.weekday().to_list() == [6]
    assert 1 <= table["FirstHitRank@10"].item() <= 10
