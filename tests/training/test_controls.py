"""Scheduler, accumulation, averaging, compilation, callbacks, profiler and rate finder do what they say, and resume with the rest."""

import math
import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import pytorch_lightning
import torch
from conftest import composed, interactions
from test_resume import strike_at, terminate, train
from test_validation import ROWS, build, fit, weights

from recseq.config import check_config
from recseq.environment import config_hash
from recseq.errors import ConfigError
from recseq.training.context import FitContext
from recseq.training.lightning_module import SequentialModule
from recseq.training.trainer import TrainerOptions, require_device

# A key bias has no gradient but for rounding, which Adam would blow up to full steps.
CALM_ADAM = ("+optimizer.eps=0.001",)
SGD = ("optimizer._target_=torch.optim.SGD", "~optimizer.betas", "~optimizer.fused", "optimizer.lr=0.5")


def rates(monkeypatch: pytest.MonkeyPatch, *overrides: str) -> list[float]:
    """Learning rate of each optimizer step of a training with rate 0.1."""
    found = []
    real = SequentialModule.optimizer_step

    def optimizer_step(self: SequentialModule, epoch: int, batch_idx: int, optimizer: Any, *args: Any) -> None:
        if not self.trainer.fit_loop._should_accumulate():
            found.append(optimizer.param_groups[0]["lr"])
        real(self, epoch, batch_idx, optimizer, *args)

    monkeypatch.setattr(SequentialModule, "optimizer_step", optimizer_step)
    _, epochs = fit("optimizer.lr=0.1", *overrides)
    assert [epochs[epoch]["lr"] for epoch in sorted(epochs)] == found[len(found) // len(epochs) - 1 :: len(found) // len(epochs)]
    return found


N_STEPS, EPOCH = 20, 10


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), [0.1] * N_STEPS),
        (("scheduler.warmup_steps=4",), [0.02, 0.04, 0.06, 0.08] + [0.1] * 16),
        (("scheduler=cosine",), [0.05 * (1 + math.cos(math.pi * s / N_STEPS)) for s in range(N_STEPS)]),
        (
            ("scheduler=cosine", "scheduler.warmup_steps=4", "scheduler.eta_min=0.02"),
            [0.02, 0.04, 0.06, 0.08] + [0.02 + 0.04 * (1 + math.cos(math.pi * s / 16)) for s in range(16)],
        ),
        (("scheduler=cosine", "scheduler.interval=epoch"), [0.1] * EPOCH + [0.05] * EPOCH),
        (("scheduler=linear", "scheduler.end_factor=0.5"), [0.1 * (1 - s / 40) for s in range(N_STEPS)]),
        (
            ("scheduler=linear", "trainer.accumulate_grad_batches=3", "scheduler.warmup_steps=3"),
            [0.025, 0.05, 0.075] + [0.1 * (1 - s / 5) for s in range(5)],
        ),
        (
            ("scheduler=none", "scheduler._target_=torch.optim.lr_scheduler.StepLR", "+scheduler.step_size=8", "+scheduler.gamma=0.5"),
            [0.1] * 8 + [0.05] * 8 + [0.025] * 4,
        ),
    ],
)
def test_rates_step_by_step(monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...], expected: list[float]) -> None:
    assert rates(monkeypatch, *overrides, "trainer.max_epochs=2") == pytest.approx(expected)


def test_one_cycle_goes_up_and_down_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = rates(monkeypatch, "scheduler=one_cycle", "trainer.max_epochs=2")
    top = found.index(max(found))
    assert found[0] == pytest.approx(0.1 / 25)
    assert found[top] == pytest.approx(0.1, rel=0.02)
    assert found == sorted(found[:top]) + sorted(found[top:], reverse=True)


@pytest.mark.parametrize("optimizer", [SGD, CALM_ADAM])
def test_accumulated_batches_are_one_larger_batch(optimizer: tuple[str, ...]) -> None:
    options = (
        *optimizer,
        "model.dropout_rate=0.0",
        "trainer.gradient_clip_val=0.05",
        "trainer.max_epochs=2",
    )  # 10 batches: the last step has one
    several, epochs = fit(*options, "model.batch_size=4", "trainer.accumulate_grad_batches=3")
    one, epochs_one = fit(*options, "model.batch_size=12")
    plain, _ = fit(*options, "model.batch_size=4")
    assert torch.allclose(weights(several), weights(one), atol=1e-5)
    assert not torch.allclose(weights(plain), weights(one), atol=1e-3)
    for epoch, values in epochs.items():
        assert values == pytest.approx(epochs_one[epoch], rel=1e-5)


@pytest.mark.parametrize("algorithm", ["norm", "value", "null"])
def test_gradients_are_clipped(monkeypatch: pytest.MonkeyPatch, algorithm: str) -> None:
    seen = []
    real = SequentialModule.on_before_zero_grad

    def look(self: SequentialModule, optimizer: Any) -> None:
        gradients = [parameter.grad.flatten() for parameter in self.parameters() if parameter.grad is not None]
        if gradients:
            seen.append(torch.cat(gradients))
        real(self, optimizer)

    monkeypatch.setattr(SequentialModule, "on_before_zero_grad", look)
    fit("trainer.max_epochs=1", "trainer.gradient_clip_val=0.01", f"trainer.gradient_clip_algorithm={algorithm}")
    assert seen
    for gradient in seen:
        size = gradient.abs().max() if algorithm == "value" else gradient.norm()
        assert size == pytest.approx(0.01, rel=1e-3)


def by_hand(monkeypatch: pytest.MonkeyPatch, decay: float, *overrides: str) -> tuple[list[torch.Tensor], torch.Tensor]:
    """The average of the weights after each step, by the formula, and what the fitted model has."""
    steps: list[torch.Tensor] = []
    with monkeypatch.context() as patch:
        real = SequentialModule.on_train_batch_end
        patch.setattr(
            SequentialModule,
            "on_train_batch_end",
            lambda self, *args: (steps.append(torch.nn.utils.parameters_to_vector(self.parameters()).detach().clone()), real(self, *args)),
        )
        model, _ = fit(*overrides, f"trainer.ema_decay={decay}")
    average, averages = steps[0], []
    for step in steps:
        average = decay * average + (1 - decay) * step
        averages.append(average)
    return averages, weights(model)


def test_moving_average_is_what_is_ranked_with_and_trains_as_without(monkeypatch: pytest.MonkeyPatch) -> None:
    averages, fitted = by_hand(monkeypatch, 0.8, "trainer.max_epochs=2")
    assert torch.allclose(fitted, averages[-1], atol=1e-6)
    plain, _ = fit("trainer.max_epochs=2")
    assert not torch.allclose(weights(plain), fitted, atol=1e-4)


def test_validation_scores_and_keeps_the_moving_average(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scored = []
    monkeypatch.setattr(
        "recseq.training.callbacks.Watch.evaluate",
        lambda self: (
            scored.append(torch.nn.utils.parameters_to_vector(modules[-1].parameters()).detach().clone())
            or {self.monitor: float(-len(scored))}
        ),
    )
    modules: list[SequentialModule] = []
    real = SequentialModule.on_train_start
    monkeypatch.setattr(SequentialModule, "on_train_start", lambda self: (modules.append(self), real(self)))
    averages, fitted = by_hand(monkeypatch, 0.8, "trainer.max_epochs=3", "validation=last_interaction", "validation.patience=null")
    n = len(averages) // 3
    for epoch, vector in enumerate(scored, start=1):
        assert torch.allclose(vector, averages[epoch * n - 1], atol=1e-6)
    assert torch.allclose(fitted, averages[n - 1], atol=1e-6)  # the first epoch was best


EVERYTHING = (
    *("scheduler=cosine", "scheduler.warmup_steps=3", "trainer.ema_decay=0.9", "trainer.accumulate_grad_batches=2"),
    *("trainer.gradient_clip_val=0.5", "validation=last_interaction", "validation.patience=null", "trainer.max_epochs=3"),
)


@pytest.mark.parametrize("overrides", [EVERYTHING, (*EVERYTHING, "validation.finish=refit", "trainer.find_lr=true")])
def test_all_of_it_goes_on_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...]) -> None:
    finder = 100 if "trainer.find_lr=true" in overrides else 0
    with monkeypatch.context() as patch:
        count = strike_at(patch, -1)
        whole, epochs = train(tmp_path / "whole", *overrides)
    n_finder = pl.read_csv(tmp_path / "whole" / "lr_find.csv").height if finder else 0
    stops = sorted(random.Random(3).sample(range(n_finder + 1, count["steps"]), 2))
    n_steps = terminate(monkeypatch, tmp_path / "broken", overrides, stops[0])
    terminate(monkeypatch, tmp_path / "broken", overrides, max(1, stops[1] - n_steps))
    torch.manual_seed(12345)
    resumed, epochs_resumed = train(tmp_path / "broken", *overrides)
    assert torch.equal(weights(resumed), weights(whole))
    assert epochs_resumed == epochs
    again, epochs_again = train(tmp_path / "broken", *overrides)  # it had ended
    assert torch.equal(weights(again), weights(whole))
    assert epochs_again == epochs


def test_the_rate_finder_leaves_weights_and_random_numbers_as_they_are(tmp_path: Path) -> None:
    found, _ = train(tmp_path / "found", "trainer.max_epochs=2", "trainer.find_lr=true")
    curve = pl.read_csv(tmp_path / "found" / "lr_find.csv")
    (rate,) = curve.filter("suggested")["lr"]
    assert curve["lr"].is_sorted()
    assert (tmp_path / "found" / "lr_find.png").read_bytes()[:4] == b"\x89PNG"
    given, epochs = train(tmp_path / "given", "trainer.max_epochs=2", f"optimizer.lr={rate}")
    assert epochs[1]["lr"] == rate
    assert torch.equal(weights(found), weights(given))
    assert not list(tmp_path.glob("**/.lr_find*"))


@pytest.mark.slow
def test_compiled_layers_compute_the_same_and_their_checkpoints_load_either_way(tmp_path: Path) -> None:
    options = (*CALM_ADAM, "model.dropout_rate=0.0", "trainer.max_epochs=2")
    eager, epochs = fit(*options)
    model, seen = build(*options, "trainer.compile=true"), {}
    model.fit(interactions(ROWS), None, FitContext(tmp_path, 1, lambda values, epoch: seen.update({epoch: values})))
    assert torch.allclose(weights(model), weights(eager), atol=1e-5)
    assert {epoch: values["train_loss"] for epoch, values in seen.items()} == pytest.approx(
        {epoch: values["train_loss"] for epoch, values in epochs.items()}, rel=1e-5
    )
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert set(state) == set(eager.module.state_dict())
    eager.module.load_state_dict(state)
    loaded = build(*options)
    loaded.fit(interactions(ROWS), None, FitContext(tmp_path, 1))  # it had ended
    assert torch.equal(weights(loaded), weights(model))


class Counting(pytorch_lightning.Callback):
    """A user's callback, with options and a state."""

    n_batches: int = 0

    def __init__(self, step: int) -> None:
        if step < 1:
            raise ValueError("step must be positive")
        self.step = step

    def on_train_batch_end(self, *args: Any) -> None:
        Counting.n_batches += self.step


def test_callbacks_by_config() -> None:
    Counting.n_batches = 0
    fit("trainer.max_epochs=2", "+trainer.callbacks.mine={_target_: test_controls.Counting, step: 2}")
    assert Counting.n_batches == 2 * N_STEPS


def test_what_lightning_refuses_is_one_message() -> None:
    with pytest.raises(ConfigError, match=r"Lightning refuses what the trainer group asks for: Cannot use `LearningRateMonitor`"):
        fit("+trainer.callbacks.rate._target_=pytorch_lightning.callbacks.LearningRateMonitor")


@pytest.mark.parametrize(("name", "files"), [("simple", "fit-profile.txt"), ("advanced", "fit-profile.txt")])
def test_the_profiler_reports_into_the_folder(tmp_path: Path, name: str, files: str) -> None:
    plain, _ = train(tmp_path / "plain", "trainer.max_epochs=1")
    model, _ = train(tmp_path / "profiled", "trainer.max_epochs=1", f"trainer.profiler={name}")
    assert "run_training_batch" in (tmp_path / "profiled" / files).read_text()
    assert torch.equal(weights(model), weights(plain))


def test_the_profiler_of_torch_writes_a_trace(tmp_path: Path) -> None:
    train(tmp_path, "trainer.max_epochs=1", "trainer.profiler=pytorch")
    assert list(tmp_path.glob("fit-profile*"))


BAD = {
    "trainer.checkpoint=false trainer.checkpoint_every_n_batches=5": "trainer.checkpoint_every_n_batches is set, which has no effect",
    "trainer.checkpoint_every_n_batches=0": "trainer.checkpoint_every_n_batches is 0, must be >= 1",
    "trainer.gradient_clip_algorithm=norm": "trainer.gradient_clip_algorithm is set, which has no effect",
    "trainer.gradient_clip_algorithm=max trainer.gradient_clip_val=1": "trainer.gradient_clip_algorithm is 'max'; allowed: norm, value",
    "trainer.gradient_clip_val=0": "trainer.gradient_clip_val is 0, must be > 0",
    "trainer.gradient_clip_val=1 trainer.precision=16-mixed": "needs optimizer.fused=false",
    "trainer.accumulate_grad_batches=0": "trainer.accumulate_grad_batches is 0, must be >= 1",
    "trainer.ema_decay=1": "trainer.ema_decay is 1, must be > 0 and < 1",
    "trainer.profiler=fast": "trainer.profiler is 'fast'; allowed: advanced, pytorch, simple",
    "trainer.compile=maybe": "trainer.compile is 'maybe', must be true or false",
    "trainer.precision=16": "trainer.precision is 16",
    "trainer.find_lr=true scheduler=one_cycle": "trainer.find_lr is true, which has no effect",
    "trainer.find_lr=true ~optimizer.lr": "the optimizer has no option lr",
    "+trainer.callbacks.a=3": "trainer.callbacks.a must be a mapping with the key '_target_'",
    "+trainer.callbacks.a._target_=no.Such": "trainer.callbacks.a._target_ is 'no.Such', which cannot be imported",
    "+trainer.callbacks.a._target_=builtins.dict": "trainer.callbacks.a._target_ is 'builtins.dict', which is no Lightning callback",
    "+trainer.callbacks.a={_target_: test_controls.Counting}": "trainer.callbacks.a.step is missing",
    "+trainer.callbacks.a={_target_: test_controls.Counting, step: x}": "trainer.callbacks.a.step is 'x', must be a whole number",
    "+trainer.callbacks.a={_target_: test_controls.Counting, step: 0}": "refuses its options {'step': 0}: step must be positive",
    "scheduler.interval=epoch": "scheduler.interval is 'epoch', which has no effect while scheduler._target_ is null",
    "scheduler.interval=batch": "scheduler.interval is 'batch'; allowed: epoch, step",
    "scheduler.warmup_steps=-1": "scheduler.warmup_steps is -1, must be >= 0",
    "+scheduler.T_max=3": "scheduler.T_max is set, which has no effect while scheduler._target_ is null",
    "scheduler=cosine +scheduler.t_max=3": "scheduler.t_max is not an option here; did you mean 'T_max'?",
    "scheduler=cosine scheduler.T_max=soon": "scheduler.T_max is 'soon', must be a whole number",
    "scheduler=cosine scheduler.interval=epoch scheduler.warmup_steps=3": "warmup_steps is 3, which needs scheduler.interval=step",
    "scheduler=cosine scheduler._target_=torch.optim.Adam": "which is no torch learning-rate scheduler",
    "scheduler=cosine scheduler._target_=torch.optim.lr_scheduler.Cosine": "which cannot be imported",
    "scheduler=none scheduler._target_=torch.optim.lr_scheduler.ReduceLROnPlateau": "which waits for a metric",
    "scheduler=none scheduler._target_=torch.optim.lr_scheduler.LambdaLR +scheduler.lr_lambda=x": "refuses its options",
    "scheduler=linear scheduler.start_factor=0.0": "refuses its options",
    "scheduler=one_cycle scheduler.warmup_steps=3": "OneCycleLR has a warm-up of its own, scheduler.pct_start",
}


@pytest.mark.parametrize(("overrides", "message"), BAD.items())
def test_options_without_effect_and_bad_values_are_refused(overrides: str, message: str) -> None:
    words = overrides.replace(", ", ",").replace(": ", ":").split()
    with pytest.raises(ConfigError) as caught:
        check_config(composed(*words))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("trainer.precision=16-mixed", "needs a CUDA device"),
        ("trainer.compile=true", "needs a C++ compiler on the CPU, and there is no 'no-such'"),
    ],
)
def test_what_a_cpu_cannot_do_is_said_before_training(monkeypatch: pytest.MonkeyPatch, overrides: str, message: str) -> None:
    monkeypatch.setenv("CXX", "no-such")
    with pytest.raises(ConfigError, match=message.replace("+", r"\+")):
        require_device(TrainerOptions(**check_config(composed("trainer=cpu", overrides))["trainer"]))


@pytest.mark.parametrize(
    ("override", "same"),
    [
        *[
            (name, True)
            for name in ("trainer.profiler=simple", "trainer.checkpoint_every_n_batches=5", "trainer.enable_progress_bar=false")
        ],
        *[(name, False) for name in ("trainer.ema_decay=0.9", "trainer.compile=true", "scheduler=cosine", "trainer.find_lr=true")],
        *[(name, False) for name in ("trainer.accumulate_grad_batches=2", "+trainer.callbacks.a._target_=pytorch_lightning.Callback")],
    ],
)
def test_identity_of_a_run(override: str, same: bool) -> None:
    one, other = (config_hash(check_config(composed(*words)), "data") for words in ((), (override,)))
    assert (one == other) is same
