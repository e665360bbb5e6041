from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from recseq.data.interactions import ItemFeatures
from recseq.data.item_vectors import read_item_vectors
from recseq.data.vocabulary import Vocabulary
from recseq.errors import DataError
from recseq.nets.combiner import SumCombiner
from recseq.nets.item_net import ITEM_NET_BLOCKS, ItemNet
from recseq.nets.item_net_blocks import NumericBlock, PretrainedBlock

VOCABULARY = Vocabulary.from_items(pl.Series([10, 20, 30, 40]))
CATEGORIES = pl.DataFrame({"item_id": [10], "feature": ["g"], "value": ["x"]})


def features(rows: list[tuple[int, str, float | None]]) -> ItemFeatures:
    return ItemFeatures.from_long(CATEGORIES, pl.DataFrame(rows, schema=["item_id", "feature", "value"], orient="row"))


def numeric(table: ItemFeatures, **options: Any) -> NumericBlock:
    defaults = {"n_rows": 6, "n_factors": 3, "vocabulary": VOCABULARY, "item_features": table, "features": None, "dropout": 0.0}
    block = ITEM_NET_BLOCKS.build({"type": "numeric"}, **(defaults | options))
    assert isinstance(block, NumericBlock)
    return block


ROWS = [
    (10, "price", 1.0),
    (20, "price", 3.0),
    (30, "price", 5.0),
    (10, "year", 7.0),
    (20, "year", 7.0),
    (99, "price", 500.0),
    (40, "price", None),
]


def test_numbers_are_standardised_over_the_items_of_training_with_marks_for_what_is_there() -> None:
    block = numeric(features(ROWS))
    assert block.standardisation.features.select("feature", "mean", "std").rows() == [("price", 3.0, 2.0)]  # year is constant
    expected = torch.zeros(6, 2)
    expected[1:4] = torch.tensor([[-1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    torch.testing.assert_close(block.inputs, expected)
    output = block()
    assert not output[0].any()
    assert not output[4].any()
    torch.testing.assert_close(output[3], block.linear.weight.sum(1))


def test_new_items_are_standardised_as_in_training() -> None:
    vectors, known = numeric(features(ROWS)).of_new_items(Vocabulary.from_items(pl.Series([77, 99])))
    assert known.tolist() == [False, True]
    assert not vectors[0].any()


def test_numbers_that_do_not_vary_are_an_error() -> None:
    with pytest.raises(DataError, match="no numeric feature varies"):
        numeric(features([(10, "year", 7.0), (20, "year", 7.0)]))


def pretrained(path: Path, **options: Any) -> PretrainedBlock:
    defaults = {"n_rows": 6, "n_factors": 3, "vocabulary": VOCABULARY, "ids": None, "trainable": False, "dropout": 0.0}
    block = ITEM_NET_BLOCKS.build({"type": "pretrained", "path": str(path)}, **(defaults | options))
    assert isinstance(block, PretrainedBlock)
    return block


def parquet(path: Path, ids: list[Any], vectors: list[Any]) -> Path:
    pl.DataFrame({"item_id": ids, "vector": vectors}).write_parquet(path)
    return path


@pytest.mark.parametrize("trainable", [False, True])
def test_given_vectors_are_projected_and_kept_by_the_initialisation(
    tmp_path: Path, trainable: bool, caplog: pytest.LogCaptureFixture
) -> None:
    from recseq.nets.encoder import SequenceEncoder
    from recseq.nets.layers import SASRecLayers
    from recseq.nets.positions import NoPositions
    from recseq.nets.similarity import Dot

    path = parquet(tmp_path / "v.parquet", [20, 10, 99], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    block = pretrained(path, trainable=trainable)
    assert "2 of 4 items have no vector" in caplog.text
    encoder = SequenceEncoder(
        item_net=ItemNet({"pretrained": block}, SumCombiner(n_factors=3)),
        positions=NoPositions(),
        layers=SASRecLayers(n_blocks=1, n_factors=3, n_heads=1, dropout_rate=0.0),
        similarity=Dot(),
        dropout_rate=0.0,
        causal=True,
        pad_key_len=None,
    )
    encoder.initialise()
    torch.testing.assert_close(block.vectors.detach()[:3], torch.tensor([[0.0, 0.0], [3.0, 4.0], [1.0, 2.0]]))
    torch.testing.assert_close(encoder.item_net()[1], block.linear.weight @ torch.tensor([3.0, 4.0]))
    assert any(parameter is block.vectors for parameter in block.parameters()) == trainable
    new, vectors = encoder.item_net.new_items(VOCABULARY)
    assert new.item_ids.to_list() == [99]
    torch.testing.assert_close(vectors[0], block.linear.weight @ torch.tensor([5.0, 6.0]))


def test_vectors_from_npy_with_ids(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.arange(6).reshape(3, 2))
    (tmp_path / "ids.txt").write_text("10\n20\n30\n")
    block = pretrained(tmp_path / "v.npy", ids=str(tmp_path / "ids.txt"))
    torch.testing.assert_close(block.vectors[3], torch.tensor([4.0, 5.0]))


def test_broken_vector_files_are_errors(tmp_path: Path) -> None:
    def message(path: Path, ids: Path | None = None) -> str:
        with pytest.raises(DataError) as caught:
            read_item_vectors(path, ids, pl.Int64())
        return str(caught.value)

    assert "does not exist" in message(tmp_path / "none.parquet")
    assert "row 2: the vector has length 1, the first has 2" in message(parquet(tmp_path / "a.parquet", [1, 2], [[1.0, 2.0], [1.0]]))
    assert "row 1" in message(parquet(tmp_path / "b.parquet", [1, 2], [[float("nan"), 2.0], [1.0, 1.0]]))
    assert "repeats" in message(parquet(tmp_path / "c.parquet", [1, 1], [[1.0], [2.0]]))
    assert "not of the data's type" in message(parquet(tmp_path / "d.parquet", ["x", "y"], [[1.0], [2.0]]))
    pl.DataFrame({"id": [1]}).write_parquet(tmp_path / "e.parquet")
    assert "no column 'item_id'" in message(tmp_path / "e.parquet")
    np.save(tmp_path / "f.npy", np.zeros((2, 2)))
    assert "must name the file" in message(tmp_path / "f.npy")
    (tmp_path / "ids.txt").write_text("1\n")
    assert "1 ids" in message(tmp_path / "f.npy", tmp_path / "ids.txt")
    np.save(tmp_path / "g.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "cannot be read" in message(tmp_path / "g.npy", tmp_path / "ids.txt")
