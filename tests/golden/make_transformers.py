"""Make ``transformers_{synthetic,movietweetings}.npz``: what RecTools' SASRec and BERT4Rec compute for real histories.

Runs in the *RecTools* virtual environment (``rectools[torch]==0.19.0``, torch on the CPU), never in recseq's:

    <rectools venv>/bin/python tests/golden/make_transformers.py [--data ../shared/data/movietweetings] [--out tests/golden]

Each model is small (2 blocks, 2 heads, D = 16, L = 20, dropout 0.1), trained briefly (Adam, lr 1e-2) and then put into eval mode.
After the training every one-dimensional parameter (biases, norms) gets seeded normal noise of 0.1: a key bias has no gradient
(softmax ignores a constant shift) and would stay near 0, so that an error in it would not show. The histories go through the
model's own recommend path (its data preparator drops unknown items, truncates, pads on the left and, for BERT4Rec, appends MASK).
The script checks that the top 10 of the recorded scores are what ``model.recommend`` answers. The files hold no pickled objects;
run on one machine twice they are the same byte for byte.

Data sets
    synthetic: 80 users, 60 items, times with ties, rows in shuffled order, categories from two features (some items with several, some with
        none, one row repeated). Recorded users have 1, 5, 19, 20 and 27 interactions.
    movietweetings: the rows of the 300 most rated movies (ties by movie id ascending), file order, genres as categories; all of it is
        trained on. Recorded are the lowest user ids with exactly 1, 5, 19, 20 and with more than 20 such rows. The file holds no rows of
        the data: rebuild a history from ``ratings.dat``, keeping the movies of ``item_ids``, by time, ties by file order.

Models are named ``<model>-<blocks>``: model ``sasrec | bert4rec``; blocks ``ids | categories | ids+categories``. Each is run under
one or two paddings: ``unmasked`` (``use_key_padding_mask=False``, what sasrec is trained with) and ``masked`` (``True``, what
bert4rec is trained with); sasrec's ``masked`` outputs come from the same weights with the switch set, as no parameter depends on
it.

Keys of a file (n users, T their tokens end to end, V items, X extra tokens: 1 for sasrec (PAD), 2 for bert4rec (PAD, MASK), C categories)
    meta                            scalar string, JSON: hyper-parameters and versions
    models                          (n_models,) strings
    cases                           (n_cases,) strings, ``<model>/<padding>``
    user_ids                        (n,) int64, the users in the order of all outputs
    lengths                         (n,) int64, their history lengths before truncation
    <model>/item_ids                (V,) int64, external ids in internal order: item_ids[i] is internal item X + i
    <model>/state/<name>            the state dict under RecTools' names (float32; the category buffers int64)
    <model>/item_matrix             (X + V, D) float32, all item vectors, extra tokens first
    <model>/offsets                 (n + 1,) int64, user i has the rows offsets[i]:offsets[i + 1] of hidden; the last of them is scored
    <model>/<padding>/hidden        (T, D) float32, encoder output (sasrec: after its last norm), rows of real tokens only, MASK is real
    <model>/<padding>/scores        (n, V) float32, dot products of each user's last row with all real items
    <model>/category_features       (C,) strings, feature of each row of the category embedding (models with categories only)
    <model>/category_values         (C,) strings, its value
        The categories of the items, extra tokens first, are the state dict's ``emb_bag_inputs`` (category indices end to end),
        ``offsets`` and ``input_lengths``, all under ``item_model.item_net_blocks.<j>.``.
Only in the synthetic file
    interactions/{user_id,item_id,seconds}    the training table in row order, int64
    features/{item_id,feature,value}          the long feature table
    histories/{item_ids,offsets}              the full histories of ``user_ids`` (external ids, compressed sparse rows)
    <model>/tokens                            (T,) int64, internal ids that entered the encoder, aligned with hidden
"""

from __future__ import annotations

import argparse
import json
import logging
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import BERT4RecModel, SASRecModel
from rectools.models.nn.item_net import CatFeaturesItemNet, IdEmbeddingsItemNet

DEFAULT_DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "movietweetings"
SEED = 20_261_124
N_MOVIES = 300
L = 20
HYPER: dict[str, Any] = {"session_max_len": L, "n_factors": 16, "n_blocks": 2, "n_heads": 2, "dropout_rate": 0.1, "lr": 1e-2}
BIAS_NOISE = 0.1
SYNTHETIC_LENGTHS = [1, 5, 19, 20, 27]

MODELS = {"sasrec": SASRecModel, "bert4rec": BERT4RecModel}
BLOCKS: dict[str, tuple[type, ...]] = {
    "ids": (IdEmbeddingsItemNet,),
    "categories": (CatFeaturesItemNet,),
    "ids+categories": (IdEmbeddingsItemNet, CatFeaturesItemNet),
}
PADDINGS = {"sasrec": ("unmasked", "masked"), "bert4rec": ("masked",)}  # the first is trained with
SYNTHETIC_MODELS = [f"{name}-{blocks}" for name in MODELS for blocks in BLOCKS]
MOVIETWEETINGS_MODELS = ["sasrec-ids+categories"]

Arrays = dict[str, np.ndarray]


def interactions_frame(users: np.ndarray, items: np.ndarray, seconds: np.ndarray) -> pd.DataFrame:
    """RecTools' interactions table, weight 1."""
    return pd.DataFrame(
        {Columns.User: users, Columns.Item: items, Columns.Weight: 1.0, Columns.Datetime: pd.to_datetime(seconds, unit="s")}
    )


def history(interactions: pd.DataFrame, user_id: int) -> np.ndarray:
    """All items of a user by time, ties by row order."""
    rows = interactions[interactions[Columns.User] == user_id]
    return rows.sort_values(Columns.Datetime, kind="stable")[Columns.Item].to_numpy()


def make_synthetic() -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray, Arrays]:
    """Return interactions, features, the recorded users and the arrays that describe them."""
    rng = np.random.default_rng(SEED)
    item_ids = rng.permutation(np.arange(1001, 1061))
    popularity = 1.0 / np.arange(3, 63)
    popularity /= popularity.sum()
    lengths = np.concatenate([SYNTHETIC_LENGTHS, rng.integers(2, 36, size=80 - len(SYNTHETIC_LENGTHS))])
    user_ids = rng.permutation(np.arange(501, 581))
    users = np.repeat(user_ids, lengths)
    items = rng.choice(item_ids, size=len(users), p=popularity)
    seconds = 1_700_000_000 + 3600 * rng.integers(0, 60, size=len(users))  # 60 hours: ties inside the longer histories
    order = rng.permutation(len(users))
    users, items, seconds = users[order], items[order], seconds[order]

    rows: list[tuple[int, str, str]] = []
    for item in item_ids:
        genres = rng.choice(6, size=rng.integers(0, 4), replace=False)
        rows += [(int(item), "genre", f"g{genre}") for genre in genres]
        if rng.random() < 0.6:
            rows.append((int(item), "decade", f"{1980 + 10 * rng.integers(0, 4)}s"))
    rows.append(rows[0])
    features = pd.DataFrame(rows, columns=["id", "feature", "value"])

    interactions = interactions_frame(users, items, seconds)
    recorded = user_ids[: len(SYNTHETIC_LENGTHS)]
    histories = [history(interactions, user) for user in recorded]
    described = {
        "interactions/user_id": users.astype(np.int64),
        "interactions/item_id": items.astype(np.int64),
        "interactions/seconds": seconds.astype(np.int64),
        "features/item_id": features["id"].to_numpy(dtype=np.int64),
        "features/feature": features["feature"].to_numpy(dtype=str),
        "features/value": features["value"].to_numpy(dtype=str),
        "histories/item_ids": np.concatenate(histories).astype(np.int64),
        "histories/offsets": np.cumsum([0, *map(len, histories)], dtype=np.int64),
    }
    return interactions, features, recorded, described


def read_movietweetings(data: Path) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Return the interactions with the most rated movies, their genres and the recorded users."""
    raw = pd.read_csv(data / "ratings.dat", sep="::", engine="python", header=None, names=["user", "movie", "rating", "seconds"])
    counts = raw.groupby("movie", as_index=False).size().sort_values(["size", "movie"], ascending=[False, True])
    raw = raw[raw["movie"].isin(counts["movie"].head(N_MOVIES))]
    interactions = interactions_frame(raw["user"].to_numpy(), raw["movie"].to_numpy(), raw["seconds"].to_numpy())

    rows = []
    with (data / "movies.dat").open(encoding="utf-8") as lines:
        for line in lines:
            movie, rest = line.rstrip("\n").split("::", 1)
            rows += [(int(movie), "genre", genre) for genre in rest.rsplit("::", 1)[1].split("|") if genre]
    features = pd.DataFrame(rows, columns=["id", "feature", "value"])
    features = features[features["id"].isin(interactions[Columns.Item])]

    lengths = interactions.groupby(Columns.User).size().sort_index()
    recorded = [lengths.index[lengths == length][0] for length in (1, 5, L - 1, L)] + [lengths.index[lengths > L][0]]
    return interactions, features, np.array(recorded)


def train(model_name: str, dataset: Dataset, batch_size: int, epochs: int) -> SASRecModel | BERT4RecModel:
    """Train a model briefly and add noise to its biases and norms."""
    name, blocks = model_name.split("-")
    seed_everything(SEED)
    model = MODELS[name](
        **HYPER,
        batch_size=batch_size,
        epochs=epochs,
        item_net_block_types=BLOCKS[blocks],
        use_key_padding_mask=PADDINGS[name][0] == "masked",
        recommend_torch_device="cpu",
    )
    model.fit(dataset)
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for parameter in model.lightning_model.torch_model.parameters():
            if parameter.dim() == 1:
                parameter += BIAS_NOISE * torch.randn(parameter.shape, generator=generator)
    return model


def record(model: SASRecModel | BERT4RecModel, dataset: Dataset, user_ids: np.ndarray, paddings: tuple[str, ...]) -> Arrays:
    """Run the users' histories through the model's recommend path and return the arrays of one model."""
    net = model.lightning_model.torch_model.eval()
    preparator = model.data_preparator
    n_extra = preparator.n_item_extra_tokens

    prepared = preparator.transform_dataset_u2i(dataset, user_ids)
    (batch,) = list(preparator.get_dataloader_recommend(prepared, batch_size=len(user_ids)))
    rows = prepared.user_id_map.convert_to_internal(user_ids)  # RecTools orders users by first appearance
    sessions = batch["x"][rows]  # (n, L)
    real = sessions != 0
    with torch.no_grad():
        item_matrix = net.item_model.get_all_embeddings()  # (X + V, D)
    item_ids = np.array(preparator.get_known_item_ids().tolist(), dtype=np.int64)
    arrays = {
        "item_ids": item_ids,
        "item_matrix": item_matrix.numpy(),
        "offsets": np.concatenate([[0], real.sum(dim=1).cumsum(dim=0).numpy()]).astype(np.int64),
        "tokens": sessions[real].numpy(),
    }
    arrays |= {f"state/{name}": value.numpy() for name, value in net.state_dict().items()}
    if any("embedding_bag" in name for name in net.state_dict()):
        names = preparator.train_dataset.item_features.get_cat_features().names
        arrays["category_features"] = np.array([feature for feature, _ in names], dtype=str)
        arrays["category_values"] = np.array([value for _, value in names], dtype=str)
    for padding in paddings:
        net.use_key_padding_mask = padding == "masked"
        with torch.no_grad():
            hidden = net.encode_sessions(batch, item_matrix)[rows]  # (n, L, D)
            scores = hidden[:, -1] @ item_matrix[n_extra:].T  # (n, V)
        check(model, dataset, user_ids, pd.DataFrame(scores.numpy(), index=user_ids, columns=item_ids))
        arrays |= {f"{padding}/hidden": hidden[real].numpy(), f"{padding}/scores": scores.numpy()}
    return arrays


def check(model: SASRecModel | BERT4RecModel, dataset: Dataset, user_ids: np.ndarray, scores: pd.DataFrame) -> None:
    """Compare the recorded scores with what ``recommend`` answers."""
    recommended = model.recommend(users=user_ids, dataset=dataset, k=10, filter_viewed=False)
    for user_id, best in recommended.sort_values(Columns.Rank).groupby(Columns.User):
        own = scores.loc[user_id]
        # Items of the same categories tie in the models without ids, so their order proves nothing: each item's own score does.
        np.testing.assert_allclose(own.nlargest(10), best[Columns.Score], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(own[best[Columns.Item]], best[Columns.Score], rtol=1e-5, atol=1e-5)


def make_file(
    path: Path,
    interactions: pd.DataFrame,
    features: pd.DataFrame,
    user_ids: np.ndarray,
    models: list[str],
    described: Arrays,
    training: dict[str, int],
) -> None:
    """Train and record all models of a data set and write its file."""
    dataset = Dataset.construct(interactions, item_features_df=features, cat_item_features=sorted(features["feature"].unique()))
    meta = {**HYPER, **training, "bias_noise": BIAS_NOISE, "seed": SEED}
    meta |= {"bert4rec": "extra tokens PAD, MASK", "sasrec": "extra token PAD"}
    meta |= {name: version(name) for name in ("rectools", "torch", "numpy")}
    arrays: Arrays = {
        "meta": np.array(json.dumps(meta)),
        "models": np.array(models),
        "cases": np.array([f"{model}/{padding}" for model in models for padding in PADDINGS[model.split("-")[0]]]),
        "user_ids": user_ids.astype(np.int64),
        "lengths": np.array([len(history(interactions, user)) for user in user_ids], dtype=np.int64),
        **described,
    }
    for name in models:
        recorded = record(train(name, dataset, **training), dataset, user_ids, PADDINGS[name.split("-")[0]])
        if not described:
            del recorded["tokens"]  # these are raw histories
        arrays |= {f"{name}/{key}": value for key, value in recorded.items()}
    for key, value in arrays.items():
        assert value.dtype.kind in "fiU", key
        assert value.dtype.kind != "f" or (value.dtype == np.float32 and np.isfinite(value).all()), key
    np.savez_compressed(path, **arrays)
    print(f"{path.name}: {len(arrays['cases'])} cases, {len(arrays)} arrays, {path.stat().st_size / 1024:.0f} KiB")


def main() -> None:
    """Make both files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder with ratings.dat and movies.dat")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent, help="folder for the files")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    torch.set_num_threads(1)  # the order of sums stays the same from run to run

    interactions, features, user_ids, described = make_synthetic()
    training = {"batch_size": 8, "epochs": 3}
    make_file(options.out / "transformers_synthetic.npz", interactions, features, user_ids, SYNTHETIC_MODELS, described, training)
    interactions, features, user_ids = read_movietweetings(options.data)
    training = {"batch_size": 128, "epochs": 2}
    make_file(options.out / "transformers_movietweetings.npz", interactions, features, user_ids, MOVIETWEETINGS_MODELS, {}, training)


if __name__ == "__main__":
    main()
