import pytest
import torch

from recseq.nets.dropout import Dropout, dropout


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_elements_are_zeroed_at_the_rate_and_the_mean_stays(rate: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(1001, 999)
    dropped = dropout(x, rate, training=True)
    assert (dropped == 0).float().mean().item() == pytest.approx(rate, abs=0.002)
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / (1 - rate)])
    lanes = (dropped.flatten()[: 4 * 249_999] == 0).view(-1, 4).float()  # neighbours share a draw; they must not share fate
    assert lanes.mean(0).tolist() == pytest.approx([rate] * 4, abs=0.005)
    correlation = torch.corrcoef(lanes.T) - torch.eye(4)
    assert correlation.abs().max() < 0.01


def test_gradient_passes_where_elements_stay() -> None:
    torch.manual_seed(0)
    x = torch.randn(7, 5, requires_grad=True)
    dropped = dropout(x, 0.4, training=True)
    (gradient,) = torch.autograd.grad(dropped.sum(), x)
    torch.testing.assert_close(gradient * x, dropped)


def test_seed_repeats_and_evaluation_changes_nothing() -> None:
    layer, x = Dropout(0.3), torch.randn(50)
    torch.manual_seed(1)
    first = layer(x)
    torch.manual_seed(1)
    assert torch.equal(layer(x), first)
    assert torch.equal(layer.eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)
