import pytest
import torch
from conftest import batch_of
from torch.nn import functional as F

from recseq.training import fused_softmax
from recseq.training.losses import SoftmaxLoss


@pytest.mark.parametrize("cells", [30, 2**21])
def test_block_softmax_equals_cross_entropy_with_gradients(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_softmax, "BLOCK_CELLS", cells)
    torch.manual_seed(0)
    hidden = (torch.randn(17, 6) * 4).requires_grad_()
    items = torch.randn(11, 6, requires_grad=True)
    classes, weights = torch.randint(0, 11, (17,)), torch.rand(17)
    expected = (F.cross_entropy(hidden @ items.T, classes, reduction="none") * weights).sum()
    wanted = torch.autograd.grad(expected * 3, (hidden, items))
    loss = fused_softmax.fused_softmax_loss(hidden, items, classes, weights)
    torch.testing.assert_close(loss, expected)
    for ours, theirs in zip(torch.autograd.grad(loss * 3, (hidden, items)), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_block_softmax_is_finite_for_extreme_logits() -> None:
    hidden = torch.tensor([[200.0], [-200.0]], requires_grad=True)
    items = torch.tensor([[1.0], [-1.0]], requires_grad=True)
    loss = fused_softmax.fused_softmax_loss(hidden, items, torch.tensor([1, 1]), torch.ones(2))
    loss.backward()
    assert loss.item() == pytest.approx(400.0)
    assert torch.isfinite(hidden.grad).all()
    assert torch.isfinite(items.grad).all()


def test_block_softmax_under_bfloat16_autocast_stays_near() -> None:
    torch.manual_seed(0)
    hidden, items = torch.randn(40, 8, requires_grad=True), torch.randn(30, 8, requires_grad=True)
    classes, weights = torch.randint(0, 30, (40,)), torch.ones(40)
    exact = fused_softmax.fused_softmax_loss(hidden, items, classes, weights)
    wanted = torch.autograd.grad(exact, (hidden, items))
    with torch.autocast("cpu", torch.bfloat16):
        loss = fused_softmax.fused_softmax_loss(hidden, items, classes, weights)
    assert loss.item() == pytest.approx(exact.item(), rel=0.02)
    for ours, theirs in zip(torch.autograd.grad(loss, (hidden, items)), wanted, strict=True):
        assert (ours - theirs).norm() < 0.03 * theirs.norm()


def test_softmax_classes_are_the_real_items_and_weights_scale_each_target() -> None:
    torch.manual_seed(0)
    hidden, matrix = torch.randn(3, 4), torch.randn(7, 4)  # padding, 5 items, MASK
    batch = batch_of(torch.tensor([1, 5, 3]), torch.tensor([1.0, 3.0, 0.0]))
    for temperature in (1.0, 0.1):
        losses = F.cross_entropy(hidden @ matrix[1:6].T / temperature, batch.targets - 1, reduction="none")
        found = SoftmaxLoss(n_items=5, logits_t=temperature)(hidden, batch, matrix)
        torch.testing.assert_close(found, (losses[0] + 3 * losses[1]) / 3)
