"""Make `losses.npz`: what RecTools' bce, gbce and sampled softmax give for the same logits, with their gradients.

Runs in the *RecTools* virtual environment (`rectools[torch]==0.19.0`), never in recseq's:

    <rectools venv>/bin/python tests/golden/make_losses.py

Keys: `logits` (T', 1 + N) float64, the positive's first, uniform in [-15, 15] (beyond, RecTools clamps); `weights` (T',);
`n_items`; `<loss>/value`, `<loss>/gradient` (T', 1 + N) for bce, sampled_softmax and gbce_<t>.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from rectools.models.nn.transformers.lightning import TransformerLightningModule as Module

N_POSITIONS, N_NEGATIVES, N_ITEMS = 40, 7, 100


def main() -> None:
    rng = np.random.default_rng(0)
    logits = rng.uniform(-15, 15, (N_POSITIONS, 1 + N_NEGATIVES))
    weights = rng.uniform(0.2, 2, N_POSITIONS)
    arrays: dict[str, np.ndarray] = {"logits": logits, "weights": weights, "n_items": np.array(N_ITEMS)}
    y = torch.ones(1, N_POSITIONS, dtype=torch.long)
    w = torch.from_numpy(weights)[None]

    def record(name: str, calculate) -> None:  # type: ignore[no-untyped-def]
        given = torch.from_numpy(logits)[None].clone().requires_grad_()
        value = calculate(given * 1.0)
        arrays[f"{name}/value"] = value.detach().numpy()
        arrays[f"{name}/gradient"] = torch.autograd.grad(value, given)[0][0].numpy()

    module = SimpleNamespace(_calc_softmax_loss=Module._calc_softmax_loss, _calc_bce_loss=Module._calc_bce_loss)
    module.data_preparator = SimpleNamespace(n_negatives=N_NEGATIVES)
    module.item_extra_tokens = ("PAD",)
    module.torch_model = SimpleNamespace(item_model=SimpleNamespace(n_items=N_ITEMS + 1))
    module._get_reduced_overconfidence_logits = lambda x, n: Module._get_reduced_overconfidence_logits(module, x, n)
    record("bce", lambda x: Module._calc_bce_loss(x, y, w))
    record("sampled_softmax", lambda x: Module._calc_sampled_softmax_loss(module, x, y, w))
    for t in (0.0, 0.2, 0.75, 1.0):
        module.gbce_t = t
        record(f"gbce_{t}", lambda x: Module._calc_gbce_loss(module, x, y, w))
    np.savez_compressed(Path(__file__).parent / "losses.npz", **arrays)


if __name__ == "__main__":
    main()
