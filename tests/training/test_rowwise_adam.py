"""Training that touches only rows: gradients are those of the whole matrix, and the optimizer is Adam where Adam would be the same."""

from pathlib import Path

import pytest
import torch
from conftest import composed, interactions
from models.test_sequential import FEATURES, ROWS
from test_validation import build, weights

from recseq.config import check_config
from recseq.data.batches import TrainLoader
from recseq.data.sequences import Histories, SequenceStore
from recseq.data.vocabulary import Vocabulary
from recseq.errors import ConfigError
from recseq.training.context import FitContext
from recseq.training.lightning_module import SequentialModule
from recseq.training.rowwise_adam import RowwiseAdam

SAMPLED = ("loss=gbce", "loss.n_negatives=3", "model.dropout_rate=0")


def gradients(by_rows: bool, *overrides: str) -> dict[str, torch.Tensor]:
    """Of one training step, as dense tensors."""
    model = build(*SAMPLED, *overrides)
    torch.manual_seed(3)
    histories = Histories.from_frame(interactions(ROWS).frame).keep(2, model.objective.stored_rows(model.session_max_len))
    vocabulary = Vocabulary.from_items(histories.rows["item_id"])
    module = model.build_module(vocabulary, FEATURES).train()
    module.by_rows = by_rows
    module.log = lambda *args, **kwargs: None  # type: ignore[method-assign,assignment]
    batch = next(iter(TrainLoader(SequenceStore.from_histories(histories, vocabulary), model.objective, 128, seed=1)))
    torch.manual_seed(4)
    module.training_step(batch, 0).backward()
    return {name: parameter.grad.to_dense() for name, parameter in module.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("sampling", ["position", "user", "batch"])
@pytest.mark.parametrize(
    "more", [(), ("model/similarity=cosine", "loss.mask_hits=false"), ("loss=sampled_softmax", "loss.logq_correction=true")]
)
def test_gradients_are_those_of_the_whole_matrix(sampling: str, more: tuple[str, ...]) -> None:
    options = ("item_net=[ids,categories]", *more, f"loss.sampling={sampling}")
    by_rows, whole = gradients(True, *options), gradients(False, *options)
    assert by_rows.keys() == whole.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(by_rows[name], gradient, atol=1e-6, rtol=1e-5)


def sparse(rows: list[int], values: torch.Tensor, n_rows: int) -> torch.Tensor:
    return torch.sparse_coo_tensor(torch.tensor([rows]), values, (n_rows, values.shape[1]))


def test_rows_that_every_batch_touches_get_adams_updates() -> None:
    torch.manual_seed(0)
    start, steps = torch.randn(4, 3), torch.randn(5, 4, 3)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    rowwise, adam = (
        RowwiseAdam([ours], lr=0.1, betas=(0.9, 0.98), row_state="elements"),
        torch.optim.Adam([theirs], lr=0.1, betas=(0.9, 0.98)),
    )
    for gradient in steps:
        ours.grad, theirs.grad = sparse([2, 0, 1, 3], gradient[[2, 0, 1, 3]], 4), gradient.clone()
        rowwise.step()
        adam.step()
    torch.testing.assert_close(ours, theirs)


def test_a_row_that_is_touched_now_and_then_is_updated_by_its_own_gradients_alone() -> None:
    torch.manual_seed(0)
    start, gradients = torch.randn(3, 2), torch.randn(6, 1, 2)
    table, alone = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start[:1].clone())
    options = {"lr": 0.1, "betas": (0.9, 0.98), "row_state": "mean"}
    rowwise, single = RowwiseAdam([table], **options), RowwiseAdam([alone], **options)
    for step, gradient in enumerate(gradients):
        row = 0 if step % 2 else 1
        table.grad = sparse([row], gradient, 3)
        rowwise.step()
        if row == 0:
            alone.grad = sparse([0], gradient, 1)
            single.step()
    torch.testing.assert_close(table[:1], alone)
    torch.testing.assert_close(table[2], start[2], atol=0, rtol=0)


def test_the_mean_state_by_hand() -> None:
    table = torch.nn.Parameter(torch.zeros(1, 2))
    optimizer = RowwiseAdam([table], lr=0.5, betas=(0.9, 0.75), eps=0, row_state="mean")
    for gradient in ([3.0, 1.0], [1.0, -1.0]):
        table.grad = sparse([0], torch.tensor([gradient]), 1)
        optimizer.step()
    first = 5.0  # mean of 9 and 1, corrected for the start at zero
    second = (0.75 * (0.25 * 5) + 0.25 * 1) / (1 - 0.75**2)
    expected = [-0.5 * 3 / first**0.5 - 0.5 * 1 / second**0.5, -0.5 * 1 / first**0.5 + 0.5 * 1 / second**0.5]
    torch.testing.assert_close(table.data, torch.tensor([expected]))


@pytest.mark.parametrize("row_state", ["mean", "elements"])
def test_training_by_rows_resumes_bit_for_bit(tmp_path: Path, row_state: str) -> None:
    options = (*SAMPLED, "optimizer=rowwise_adam", f"optimizer.row_state={row_state}", "trainer.max_epochs=3")
    options += ("trainer.accumulate_grad_batches=2", "trainer.ema_decay=0.9", "model.batch_size=8")
    whole = build(*options)
    whole.fit(interactions(ROWS), None, FitContext(tmp_path / "whole", 1))
    first = build(*options, "trainer.max_epochs=2")
    first.fit(interactions(ROWS), None, FitContext(tmp_path / "broken", 1))
    resumed = build(*options)
    resumed.fit(interactions(ROWS), None, FitContext(tmp_path / "broken", 1))
    assert isinstance(resumed.module, SequentialModule)
    assert resumed.module.by_rows
    assert torch.equal(weights(resumed), weights(whole))
    assert not torch.equal(weights(first), weights(whole))


def test_a_loss_over_the_whole_catalogue_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"RowwiseAdam.*loss 'softmax' touches the whole catalogue; use a loss that samples \(bce, "):
        check_config(composed("optimizer=rowwise_adam"))
    check_config(composed("optimizer=rowwise_adam", "model=popular"))
    with pytest.raises(ConfigError, match=r"gradients by rows, of .*RowwiseAdam, cannot be clipped"):
        check_config(composed("optimizer=rowwise_adam", "loss=bce", "trainer.gradient_clip_val=1"))


def test_the_other_row_state_is_refused() -> None:
    with pytest.raises(ConfigError, match="row_state is 'none'; allowed: elements, mean"):
        check_config(composed("optimizer=rowwise_adam", "optimizer.row_state=none", "loss=bce"))
