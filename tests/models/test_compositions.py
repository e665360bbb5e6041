"""Every loss x objective and layers x item net trains two batches and recommends; what has no place together is refused."""

import polars as pl
import pytest
from conftest import TINY_MODEL, composed, interactions
from models.test_sequential import FEATURES, ROWS, request

from recseq.config import check_config
from recseq.environment import seed_everything
from recseq.errors import ConfigError
from recseq.model_specs import groups_of, model_options
from recseq.models import MODELS
from recseq.models.sequential import SequentialRecommender
from recseq.training.context import FitContext

LOSSES = ("softmax", "bce", "gbce", "sampled_softmax")
BACKBONES = {
    "shifted/sasrec": ("model=sasrec",),
    "shifted/ligr": ("model=esasrec",),
    "masking/pre_ln": ("model=bert4rec",),
    "next_action/pre_ln": ("model=bert4rec", "model/objective=next_action"),
}
NETS = ("ids", "categories", "ids,categories")
DEBUG = ("trainer=debug", "trainer.enable_progress_bar=false", "model.batch_size=16")


def fitted(*overrides: str) -> SequentialRecommender:
    config = check_config(composed(*overrides, *TINY_MODEL, *DEBUG))
    seed_everything(1, False)
    model = MODELS.build(model_options(config["model"]), groups=groups_of(config))
    assert isinstance(model, SequentialRecommender)
    model.fit(interactions(ROWS), FEATURES, FitContext(folder=None, seed=1))
    return model


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_composition_trains_and_recommends(loss: str, backbone: str, net: str) -> None:
    model = fitted(*BACKBONES[backbone], f"loss={loss}", f"item_net=[{net}]")
    assert set(model.encoder.item_net.blocks) == set(net.split(","))
    assert type(model.objective).__name__.lower() == backbone.split("/")[0].replace("_", "")
    table = model.recommend(request(list(range(30))))
    assert table["score"].is_finite().all()
    assert table["user_id"].n_unique() == 30


MORE = [
    ("model=bert4rec", "model.causal=true"),
    ("model/objective=next_action",),
    ("model/objective=next_action", "model.causal=false"),
    ("model/positions=sinusoidal",),
    ("model/positions=none",),
    ("model.use_pos_emb=false",),
    ("model/similarity=cosine", "loss.logits_t=0.05"),
    ("model=gsasrec",),
    ("loss=bce", "loss/negatives=popularity"),
    ("loss=bce", "loss/negatives=in_batch", "loss.mask_hits=true"),
    ("loss=sampled_softmax", "loss/negatives=mixed", "loss.logq_correction=true", "loss.sampling=batch"),
    ("loss=gbce", "loss.sampling=user", "loss.logits_t=0.5"),
    ("trainer.precision=bf16-mixed", "loss=gbce"),
    ("trainer.precision=bf16-mixed",),
    ("trainer.deterministic=true", "loss=sampled_softmax"),
]


@pytest.mark.parametrize("overrides", MORE, ids=" ".join)
def test_options_work(overrides: tuple[str, ...]) -> None:
    table = fitted(*overrides).recommend(request([0, 1]))
    assert table["score"].is_finite().all()


REFUSED = {
    "model.causal=false": "would see its own targets",
    "model=bert4rec model/objective=shifted": "would see its own targets",
    "model=bert4rec model.use_key_padding_mask=false": "which only model/layers=sasrec offers",
    "model/layers=ligr": "which only model/layers=sasrec offers",
    "model=bert4rec model.objective.mask_prob=0": "must be <= 1 and > 0",
    "loss=gbce loss.gbce_t=1.5": "loss.gbce_t is 1.5",
    "loss=bce loss.n_negatives=0": "loss.n_negatives is 0, must be >= 1",
    "loss=bce loss.sampling=users": "did you mean 'user'?",
    "loss=bce loss.negatives.type=unifrom": "did you mean 'uniform'?",
    "loss=bce loss/negatives=mixed loss.negatives.first.type=x": "loss.negatives.first.type is 'x'",
    "item_net=[pretrained]": "item_net.pretrained.path must be set",
}


@pytest.mark.parametrize(("overrides", "message"), REFUSED.items())
def test_what_has_no_place_is_refused(overrides: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_config(composed(*overrides.split()))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "override", ["loss.n_negatives=3", "loss.gbce_t=0.5", "model.objective.mask_prob=0.2", "loss/negatives=popularity"]
)
def test_hydra_refuses_what_the_chosen_parts_do_not_have(override: str) -> None:
    with pytest.raises(Exception, match=r"mask_prob|n_negatives|gbce_t|negatives"):
        composed(override)


def test_cosine_scores_lie_between_minus_one_and_one() -> None:
    table = fitted("model/similarity=cosine", "loss.logits_t=0.05").recommend(request(list(range(30)), k=12))
    assert table["score"].abs().max() <= 1 + 1e-6


def test_users_with_a_single_item_and_with_unknown_items_only() -> None:
    model = fitted("model=bert4rec")
    history = interactions([(200, 3, 0), (201, 777, 0)])
    served = model.recommend(request([200, 201], history=history, on_unsupported="ignore"))
    assert served["user_id"].unique().to_list() == [200]
    assert served.height == 3


def test_items_known_by_features_alone_can_be_recommended() -> None:
    """Item 11 has features and is nobody's: without its id it has the vector of its category."""
    rows = [row for row in ROWS if row[1] != 11]
    config = check_config(composed("item_net=[categories]", "model.recommend_cold_items=true", *TINY_MODEL, *DEBUG))
    seed_everything(1, False)
    model = MODELS.build(model_options(config["model"]), groups=groups_of(config))
    model.fit(interactions(rows), FEATURES, FitContext(folder=None, seed=1))
    assert isinstance(model, SequentialRecommender)
    assert 11 not in model.vocabulary.item_ids
    table = model.recommend(request([0, 1], k=12, history=interactions(rows), filter_viewed=False))
    scores = table.filter(pl.col("user_id") == 0).select("item_id", "score")
    cold = scores.filter(pl.col("item_id") == 11)["score"].item()
    assert cold == pytest.approx(scores.filter(pl.col("item_id") == 5)["score"].item(), rel=1e-6)  # the same category
    seen = interactions([*rows, (0, 11, 99)])
    table = model.recommend(request([0], k=12, history=seen))
    assert 11 not in table["item_id"]


def test_cold_items_need_a_block_that_knows_them() -> None:
    with pytest.raises(ConfigError, match="no item-net block knows items by features"):
        fitted("item_net=[ids]", "model.recommend_cold_items=true").recommend(request([0]))
