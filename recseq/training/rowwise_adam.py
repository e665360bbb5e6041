"""Adam that touches, of tables with a row an item, only the rows that have a gradient."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Literal, get_args

import torch

RowState = Literal["mean", "elements"]


class RowwiseAdam(torch.optim.Adam):
    """Adam; of parameters with sparse gradients, only the rows with a gradient are looked at.

    A step over a table of a million items takes the time and the memory of the rows that the batch touches. Unlike in Adam, a row
    without a gradient stays as it is, its moments too; bias correction goes by how often the row itself was updated. A row that every
    batch touches gets Adam's update (`elements`).

    Args:
        params: Parameters or groups of them.
        lr: Learning rate.
        betas: Decay of the first and the second moment.
        eps: Added to the root of the second moment.
        row_state: What is kept of each row. `elements`: both moments of each element, twice the table. `mean`: one number, the second
            moment as its mean over the row, and no first moment.

    Raises:
        ValueError: An option out of range.

    References:
        Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015, arXiv:1412.6980.
        Mudigere et al., Software-Hardware Co-design for Fast and Scalable Training of Deep Learning Recommendation Models, 2022,
        arXiv:2104.05158 (optimizer state by rows).
    """

    takes_rows: ClassVar[bool] = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        row_state: RowState = "mean",
    ) -> None:
        if row_state not in get_args(RowState):
            raise ValueError(f"row_state is {row_state!r}, must be one of {', '.join(get_args(RowState))}")
        super().__init__(params, lr=lr, betas=betas, eps=eps)
        self.row_state = row_state

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step.

        Args:
            closure: Computes loss and gradients anew.

        Returns:
            What `closure` returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    self._step_rows(parameter, group)
                    parameter.grad = None  # Adam's step would refuse it
        super().step()
        return loss

    def _step_rows(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        """Update the rows of one table that have a gradient."""
        assert parameter.grad is not None
        gradient = parameter.grad.coalesce()
        rows, values = gradient.indices()[0], gradient.values()  # (U,), (U, D)
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["n_updates"] = torch.zeros(len(parameter), device=parameter.device)
            if self.row_state == "elements":
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
            else:
                state["row_avg_sq"] = torch.zeros(len(parameter), device=parameter.device)
        beta1, beta2 = group["betas"]
        state["step"] += 1
        n_updates = state["n_updates"][rows] + 1
        state["n_updates"][rows] = n_updates
        if self.row_state == "elements":
            first = state["exp_avg"][rows].lerp_(values, 1 - beta1)
            second = state["exp_avg_sq"][rows].mul_(beta2).addcmul_(values, values, value=1 - beta2)
            state["exp_avg"][rows], state["exp_avg_sq"][rows] = first, second
            direction = first / (1 - beta1**n_updates)[:, None]
            second = second / (1 - beta2**n_updates)[:, None]
        else:
            mean = state["row_avg_sq"][rows].mul_(beta2).add_(values.square().mean(1), alpha=1 - beta2)  # (U,)
            state["row_avg_sq"][rows] = mean
            direction, second = values, (mean / (1 - beta2**n_updates))[:, None]
        parameter.index_add_(0, rows, direction / (second.sqrt() + group["eps"]), alpha=-group["lr"])
