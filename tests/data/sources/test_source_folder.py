"""A folder of Parquet files is one table, read without its other columns."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from omegaconf import OmegaConf

from recseq.data.sources import folder
from recseq.data.sources.tabular import Tabular
from recseq.errors import ConfigError, DataError
from recseq.files import conf_folder


def source(path: Path, **columns: Any) -> Tabular:
    node = OmegaConf.to_container(OmegaConf.load(conf_folder() / "dataset" / "tabular.yaml"))
    assert isinstance(node, dict)
    del node["type"]
    node["columns"] |= columns
    return Tabular(**{**node, "path": str(path)})


def write(path: Path, **columns: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(columns).write_parquet(path)


DAY = datetime(2024, 1, 1)


def test_files_follow_each_other_in_the_order_of_their_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "CHUNK_ROWS", 3)
    for name, first in (("b/1.parquet", 40), ("a.parquet", 0), ("b/0.pq", 20)):
        write(tmp_path / name, user_id=[1, 2] * 5, item_id=range(first, first + 10), datetime=[DAY] * 10, text=["x" * 100] * 10)
    write(tmp_path / "_temporary" / "0.parquet", other=[1])
    write(tmp_path / ".hidden.parquet", other=[1])
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "notes.txt").write_text("no table")
    data = source(tmp_path).read()
    frame = data.interactions.frame
    assert frame["item_id"].to_list() == [*range(10), *range(20, 30), *range(40, 50)]
    assert frame["user_id"].to_list() == [1, 2] * 15
    assert frame["weight"].to_list() == [1.0] * 30
    assert data.name == f"tabular:{tmp_path.name}"
    assert [path.name for path in source(tmp_path).files()] == ["a.parquet", "0.pq", "1.parquet"]


def test_one_file_and_a_folder_of_it_give_the_same(tmp_path: Path) -> None:
    columns = {"u": ["a", "b", "a"], "i": [3, 1, 2], "t": [date(2024, 1, 3), date(2024, 1, 1), date(2024, 1, 2)], "w": [1, 2, 3]}
    write(tmp_path / "folder" / "x.parquet", **columns)
    names = {"user_id": "u", "item_id": "i", "datetime": "t", "weight": "w"}
    whole = source(tmp_path / "folder" / "x.parquet", **names).read().interactions.frame
    assert source(tmp_path / "folder", **names).read().interactions.frame.equals(whole)


def test_hive_keys_are_columns_and_keep_their_zeros(tmp_path: Path) -> None:
    root = tmp_path / "x=1" / "log"  # above the folder: none of its keys
    for day, shop, items in (("2024-01-02", "007", [1, 2]), ("2024-01-01", "008", [3])):
        write(root / f"day={day}" / f"shop={shop}" / "part-0.parquet", item_id=items, note=["n"] * len(items))
    frame = source(root, user_id="shop", datetime="day").read().interactions.frame
    assert frame.rows() == [
        ("008", 3, datetime(2024, 1, 1), 1.0),
        ("007", 1, datetime(2024, 1, 2), 1.0),
        ("007", 2, datetime(2024, 1, 2), 1.0),
    ]
    with pytest.raises(DataError, match=r"has no column 'shpo'; did you mean 'shop'"):
        source(root, user_id="shpo", datetime="day").read()


def test_texts_that_look_like_integers_in_one_piece_stay_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "CHUNK_ROWS", 2)
    write(tmp_path / "0.parquet", user_id=["1", "2"], item_id=["5", "6"], datetime=[DAY] * 2)
    write(tmp_path / "1.parquet", user_id=["3", "x"], item_id=["5", "6"], datetime=[DAY] * 2)
    frame = source(tmp_path).read().interactions.frame
    assert frame["user_id"].to_list() == ["1", "2", "3", "x"]
    assert frame["item_id"].to_list() == [5, 6, 5, 6]


def test_a_bad_value_is_named_by_file_and_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "CHUNK_ROWS", 2)
    write(tmp_path / "a=1" / "0.parquet", user_id=[1, 2, 3], item_id=[5, 6, 7], datetime=[DAY] * 3)
    write(tmp_path / "a=2" / "1.parquet", user_id=[1, 2, None], item_id=[5, 6, 7], datetime=[DAY] * 3)
    with pytest.raises(DataError) as caught:
        source(tmp_path).read()
    for part in (str(tmp_path), "a=2/1.parquet, row 3", "'user_id'", "missing", "an id"):
        assert part in str(caught.value)


def test_folders_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="without Parquet files"):
        source(tmp_path).read()
    (tmp_path / "x.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(DataError, match="no readable folder of Parquet files"):
        source(tmp_path).read()
    pl.DataFrame(schema={"user_id": pl.Int64, "item_id": pl.Int64, "datetime": pl.Datetime}).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match="have no rows"):
        source(tmp_path).read()
    write(tmp_path / "y.parquet", user_id=["a"], item_id=[1], datetime=[DAY])
    with pytest.raises(DataError, match="user_id"):
        source(tmp_path).read()


def test_a_folder_has_no_separator(tmp_path: Path) -> None:
    node = OmegaConf.to_container(OmegaConf.load(conf_folder() / "dataset" / "tabular.yaml"))
    assert isinstance(node, dict)
    del node["type"]
    with pytest.raises(ConfigError, match="no text file is read"):
        Tabular(**{**node, "path": str(tmp_path), "separator": ","})
