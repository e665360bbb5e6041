from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import batch_of
from torch.nn import functional as F

from recseq.training import sampled_logits as module
from recseq.training.losses import LOSSES, SampledLoss
from recseq.training.negatives import NEGATIVES
from recseq.training.sampled_logits import sampled_logits

GOLDEN = Path(__file__).parents[1] / "golden" / "losses.npz"
COUNTS = torch.tensor([1, 2, 3, 4, 10, 80])


def loss_of(name: str, **options: Any) -> SampledLoss:
    defaults = {
        "n_negatives": 7,
        "sampling": "position",
        "mask_hits": False,
        "logits_t": 1.0,
        "negatives": {"type": "uniform"},
        "n_items": 100,
        "item_counts": torch.ones(100),
    }
    extra = {"gbce": {"gbce_t": 0.2}, "sampled_softmax": {"logq_correction": False}}.get(name, {})
    loss = LOSSES.build({"type": name}, **(defaults | extra | options))
    assert isinstance(loss, SampledLoss)
    return loss


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("case", ["bce", "sampled_softmax", "gbce_0.0", "gbce_0.2", "gbce_0.75", "gbce_1.0"])
def test_losses_and_gradients_equal_rectools_on_the_same_logits(case: str, dtype: torch.dtype) -> None:
    with np.load(GOLDEN) as golden:
        logits = torch.from_numpy(golden["logits"]).to(dtype).requires_grad_()
        weights = torch.from_numpy(golden["weights"]).to(dtype)
        name, _, t = case.partition("_") if case.startswith("gbce") else (case, "", "")
        loss = loss_of(name, n_items=int(golden["n_items"]), **({"gbce_t": float(t)} if t else {}))
        value = (loss.losses(logits) * weights).sum() / len(weights)
        assert value.item() == pytest.approx(float(golden[f"{case}/value"]), abs=1e-5)
        gradient = torch.autograd.grad(value, logits)[0].double()
        torch.testing.assert_close(gradient, torch.from_numpy(golden[f"{case}/gradient"]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("t", [0.0, 0.2, 0.75, 1.0])
def test_gbce_equals_the_exact_formula_far_out_with_finite_gradients(t: float) -> None:
    """The formula of the paper in 80 digits: the logit of sigmoid(s)^beta, then binary cross entropy."""
    from decimal import Decimal, getcontext

    getcontext().prec = 80
    loss = loss_of("gbce", n_negatives=256, n_items=5000, gbce_t=t)
    positives = torch.linspace(-80, 80, 41)
    logits = torch.cat([positives[:, None], torch.linspace(80, -80, 41)[:, None].expand(-1, 256)], 1).requires_grad_()
    values = loss.losses(logits)
    for s, negative, value in zip(positives.tolist(), logits[:, 1].tolist(), values.tolist(), strict=True):
        probability = (1 / (1 + (-Decimal(s)).exp())) ** Decimal(loss.beta)
        odds = probability / (1 - probability)
        positive_term = (1 + 1 / odds).ln()
        negative_term = (1 + Decimal(negative).exp()).ln()
        assert value == pytest.approx(float((positive_term + 256 * negative_term) / 257), rel=1e-5, abs=1e-5)
    gradient = torch.autograd.grad(values.sum(), logits)[0]
    assert torch.isfinite(gradient).all()
    assert loss.beta == pytest.approx(256 / 4999 * (t * (1 - 4999 / 256) + 4999 / 256))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gbce_of_gsasrec_trains_stably_in_half_precision(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    loss = loss_of("gbce", n_negatives=256, n_items=300, item_counts=torch.ones(300), gbce_t=0.75)
    hidden = (torch.randn(50, 16) * 20).requires_grad_()
    items = (torch.randn(301, 16) * 20).requires_grad_()
    batch = batch_of(torch.randint(1, 301, (50,)))
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        value = loss(hidden.to(dtype), batch, items.to(dtype))
    value.backward()
    for tensor in (value, hidden.grad, items.grad):
        assert torch.isfinite(tensor).all()


@pytest.mark.parametrize("advantage", [0, 10**6])
def test_sampled_logits_equal_gathered_products_with_gradients(advantage: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DENSE_ADVANTAGE", advantage)
    monkeypatch.setattr(module, "BLOCK_CELLS", 50)
    torch.manual_seed(0)
    hidden, items = torch.randn(23, 5, requires_grad=True), torch.randn(11, 5, requires_grad=True)
    candidates = torch.randint(0, 11, (23, 4))
    weights = torch.randn(23, 4)
    expected = torch.bmm(items[candidates], hidden[:, :, None])[:, :, 0]
    found = sampled_logits(hidden, items, candidates)
    torch.testing.assert_close(found, expected)
    wanted = torch.autograd.grad((expected * weights).sum(), (hidden, items))
    for ours, theirs in zip(torch.autograd.grad((found * weights).sum(), (hidden, items)), wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("sampling", ["position", "user", "batch"])
def test_who_shares_negatives(sampling: str) -> None:
    loss = loss_of("bce", sampling=sampling, n_items=10**6, item_counts=torch.ones(1))
    batch = batch_of(torch.arange(1, 10), lengths=[5, 3, 1])
    negatives = loss.draw(batch)
    if sampling == "batch":
        assert negatives.shape == (7,)
        return
    assert negatives.shape == (9, 7)
    same = (negatives[:, None] == negatives[None]).all(-1)
    users = batch.users_of_tokens()
    assert torch.equal(same, users[:, None] == users[None] if sampling == "user" else torch.eye(9, dtype=torch.bool))


@pytest.mark.parametrize("name", ["bce", "gbce", "sampled_softmax"])
@pytest.mark.parametrize("sampling", ["position", "batch"])
def test_a_loss_is_the_weighted_mean_over_its_own_negatives(name: str, sampling: str) -> None:
    torch.manual_seed(0)
    hidden, items = torch.randn(9, 4), torch.randn(102, 4)
    batch = batch_of(torch.randint(1, 101, (9,)), weights=torch.rand(9))
    loss = loss_of(name, sampling=sampling, logits_t=0.5, mask_hits=True)
    torch.manual_seed(3)
    negatives = loss.draw(batch)
    negatives = negatives if negatives.dim() == 2 else negatives.expand(9, -1)
    logits = (
        torch.cat([(hidden * items[batch.targets]).sum(1, keepdim=True), torch.einsum("td,tnd->tn", hidden, items[negatives])], 1) / 0.5
    )
    logits[:, 1:][negatives == batch.targets[:, None]] = -torch.inf
    torch.manual_seed(3)
    torch.testing.assert_close(loss(hidden, batch, items), (loss.losses(logits) * batch.weights).sum() / 9)


def test_masked_hits_have_no_gradient_and_no_nan() -> None:
    loss = loss_of("bce", negatives={"type": "in_batch"}, mask_hits=True, n_items=3, item_counts=torch.ones(3))
    hidden, items = torch.randn(4, 2, requires_grad=True), torch.randn(4, 2, requires_grad=True)
    value = loss(hidden, batch_of(torch.tensor([2, 2, 2, 2])), items)
    value.backward()
    positive = F.softplus(-(hidden @ items[2])).mean() / 8
    assert value.item() == pytest.approx(positive.item())
    assert torch.isfinite(items.grad).all()


SAMPLERS = {
    "uniform": {"type": "uniform"},
    "popularity": {"type": "popularity", "alpha": 0.5},
    "in_batch": {"type": "in_batch"},
    "mixed": {"type": "mixed", "first": {"type": "in_batch"}, "second": {"type": "popularity", "alpha": 1.0}, "share": 0.25},
}


@pytest.mark.parametrize("node", SAMPLERS.values(), ids=SAMPLERS)
def test_samplers_draw_with_the_probability_they_say(node: dict[str, Any]) -> None:
    torch.manual_seed(0)
    sampler = NEGATIVES.build(node, n_items=6, item_counts=COUNTS)
    targets = torch.tensor([1, 1, 1, 6, 3])
    items = torch.arange(1, 7)
    shares = torch.bincount(sampler.sample((200, 1000), targets).flatten(), minlength=7)[1:] / 200_000
    probabilities = sampler.log_probability(items, targets).exp()
    assert probabilities.sum().item() == pytest.approx(1)
    torch.testing.assert_close(shares, probabilities, atol=0.005, rtol=0)


def test_popularity_of_items_without_rows_is_never_drawn() -> None:
    sampler = NEGATIVES.build({"type": "popularity", "alpha": 1.0}, n_items=4, item_counts=torch.tensor([0, 5, 0, 5]))
    assert set(sampler.sample((10_000,), torch.tensor([1])).tolist()) == {2, 4}


def test_logq_makes_sampled_softmax_an_estimate_of_the_full_one() -> None:
    torch.manual_seed(0)
    hidden, items = torch.randn(3, 4), torch.randn(7, 4)
    batch = batch_of(torch.tensor([1, 6, 3]))
    full = F.cross_entropy(hidden @ items[1:].T, batch.targets - 1)
    options = {"n_negatives": 20_000, "n_items": 6, "item_counts": COUNTS, "negatives": {"type": "popularity", "alpha": 1.0}}
    corrected = loss_of("sampled_softmax", logq_correction=True, **options)
    # the positive stands once for itself and once among the catalogue that the negatives stand for
    doubled = (torch.cat([hidden @ items[1:].T, (hidden * items[batch.targets]).sum(1, keepdim=True)], 1)).logsumexp(1)
    expected = (doubled - (hidden * items[batch.targets]).sum(1)).mean()
    assert corrected(hidden, batch, items).item() == pytest.approx(expected.item(), abs=0.02)
    plain = loss_of("sampled_softmax", **options)
    assert abs(plain(hidden, batch, items).item() - full.item()) > 1
