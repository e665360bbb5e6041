"""What runs are called, and what is kept out of what is logged."""

import pytest
from conftest import composed

from recseq.config import check_config
from recseq.data.interactions import ItemFeatures
from recseq.secrets import place, without_credentials
from recseq.tracking.names import run_name
from recseq.tracking.record import override_tags, run_params


def name(*overrides: str, varied: list[str] | None = None, features: ItemFeatures | None = None) -> str:
    return run_name(check_config(composed(*overrides)), features, overrides, varied)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), "sasrec-softmax-ids"),
        (("loss=gbce", "item_net=[ids,categories]"), "sasrec-gbce-ids+categories-n50"),
        (("model=bert4rec", "loss=bce", "loss.n_negatives=7"), "bert4rec-bce-ids-n7"),
        (("model=popular", "loss=gbce", "optimizer.lr=0.1"), "popular"),
        (("optimizer.lr=0.01", "seed=3", "dataset.n_users=300", "tracking=none", "trainer=cpu"), "sasrec-softmax-ids-lr=0.01-seed=3"),
        (("row=sasrec_gbce_ids", "size=small"), "sasrec_gbce_ids-size=small"),
    ],
)
def test_a_single_run_is_named_by_its_model_and_what_was_typed(overrides: tuple[str, ...], expected: str) -> None:
    assert name(*overrides) == expected


def test_a_job_of_a_sweep_tells_only_what_varies() -> None:
    overrides = ("loss=gbce", "optimizer.lr=0.01", "splitter.test_size=7D", "size=small")
    assert name(*overrides, varied=["loss", "splitter.test_size"]) == "sasrec-gbce-ids-n50-test_size=7D"
    row = ("row=sasrec_gbce_ids", "loss.n_negatives=20", "size=small")
    assert name(*row, varied=["row", "loss.n_negatives"]) == "sasrec_gbce_ids-n20"


def test_parameters_are_those_of_what_the_model_uses() -> None:
    popular = run_params(check_config(composed("model=popular", "loss=gbce")), None)
    assert not [key for key in popular if key.startswith(("loss.", "item_net.", "optimizer.", "tracking.", "paths.", "report.", "size."))]
    assert (popular["composition.model"], popular["composition.loss"], popular["composition.item_net"]) == ("popular", "-", "-")
    sasrec = run_params(check_config(composed("loss=gbce", "item_net=[ids,categories]")), None)
    assert (sasrec["composition.loss"], sasrec["composition.item_net"]) == ("gbce", "ids+categories")
    assert sasrec["loss.n_negatives"] == 50
    assert {"dataset.type", "splitter.test_size", "seed", "metrics.k"} <= set(popular) & set(sasrec)


def test_credentials_are_not_logged() -> None:
    assert without_credentials("recseq tracking.uri=https://me:word@host:5/x a=b@c") == "recseq tracking.uri=https://***@host:5/x a=b@c"
    assert place("https://me:word@host/log.csv?signature=abc") == "https://***@host/log.csv"
    assert place("data/what?.csv") == "data/what?.csv"
    tags = override_tags(["tracking.uri=http://me:word@host", "+seed=3"])
    assert tags == {
        "recseq.overrides": "tracking.uri=http://***@host +seed=3",
        "override.tracking.uri": "http://***@host",
        "override.seed": "3",
    }
