"""Amazon, S3-Rec, SASRec, Steam and Yambda from a server on this machine, well and badly served."""

import gzip
import io
import json
from pathlib import Path

import polars as pl
import pytest
from loopback import Loopback, from_loopback, left_in
from omegaconf import OmegaConf

from recseq.data.fetching import RemoteDataset
from recseq.data.sources import SOURCES
from recseq.errors import DataError
from recseq.files import conf_folder


def lines(records: list[dict], spelling=json.dumps) -> bytes:
    return gzip.compress("".join(f"{spelling(record)}\n" for record in records).encode())


def parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


REVIEW = {"reviewerID": "A", "asin": "0000031852", "overall": 5.0, "unixReviewTime": 1252800000}
ITEM = {"asin": "0000031852", "title": "Tutu", "price": 3.17, "brand": None}
LISTENS = pl.DataFrame({"uid": [1, 2], "timestamp": [0, 5], "item_id": [3, 4], "played_ratio_pct": [100, 50]})
BODIES = {
    "amazon_2014": {
        "reviews_Beauty_5.json.gz": lines([REVIEW] * 2),
        "meta_Beauty.json.gz": lines([ITEM | {"categories": [["Beauty"]]}], repr),
    },
    "amazon_2018": {"All_Beauty_5.json.gz": lines([REVIEW] * 2), "meta_All_Beauty.json.gz": lines([ITEM | {"category": ["Beauty"]}])},
    "amazon_2023": {
        "All_Beauty.csv.gz": gzip.compress(b"user_id,parent_asin,rating,timestamp\n" + b"A,0000031852,4.0,1588615855070\n" * 2),
        "meta_All_Beauty.jsonl.gz": lines([{"parent_asin": "0000031852", "title": "Tutu", "categories": ["Beauty"], "details": {}}]),
    },
    "s3rec": {"Beauty.txt": b"1 1 2\n", "Beauty_item2attributes.json": b'{"1": [1, 2], "2": [1]}'},
    "sasrec": {"Beauty.txt": b"1 1\n1 2\n"},
    "steam": {
        "steam_reviews.json.gz": lines([{"username": "a", "product_id": "620", "date": "2017-12-17", "early_access": False}] * 2, repr),
        "steam_games.json.gz": lines([{"id": "620", "title": "Portal 2", "genres": ["Action"], "price": 19.99}], repr),
    },
    "yambda": {"listens.parquet": parquet(LISTENS)},
}
VERIFIED = ["s3rec", "sasrec", "yambda"]


def dataset(name: str, data_folder: Path, loopback: Loopback, fault: str | None = None) -> RemoteDataset:
    node = OmegaConf.load(conf_folder() / "dataset" / f"{name}.yaml")
    if "defaults" in node:
        node = OmegaConf.merge(OmegaConf.load(conf_folder() / "dataset" / f"{node.pop('defaults')[0]}.yaml"), node)
    plain = OmegaConf.to_container(node)
    if plain["type"] == "amazon":
        plain["reviews"] = "ratings" if name == "amazon_2023" else "5core"
    source = SOURCES.build(plain, data_folder=str(data_folder))
    assert isinstance(source, RemoteDataset)
    return from_loopback(source, loopback, BODIES[name], fault)


@pytest.mark.parametrize("name", BODIES)
def test_good(loopback: Loopback, tmp_path: Path, name: str) -> None:
    source = dataset(name, tmp_path, loopback)
    data = source.read()
    assert len(data.interactions) == 2
    assert source.read().interactions.fingerprint == data.interactions.fingerprint
    assert set(loopback.requests.values()) == {1}
    assert all((source.cache / file).read_bytes() == body for file, body in BODIES[name].items())
    assert all((file.digest is not None) == (file.published is not None) == (name in VERIFIED) for file in source.remote_files())
    assert all(getattr(source, attribute) for attribute in ("licence", "citation", "homepage"))


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize(("fault", "reason"), [("truncated", "ended early"), ("404", "answers 404"), ("reset", "has reset the connection")])
def test_badly_served(loopback: Loopback, tmp_path: Path, name: str, fault: str, reason: str) -> None:
    source = dataset(name, tmp_path, loopback, fault)
    with pytest.raises(DataError, match=reason):
        source.read()
    assert left_in(source.cache) == set()


@pytest.mark.parametrize("name", BODIES)
def test_another_file_than_published_or_recorded(loopback: Loopback, tmp_path: Path, name: str) -> None:
    source = dataset(name, tmp_path, loopback)
    if name not in VERIFIED:
        source.read()
    for file in source.remote_files():
        (source.cache / file.name).unlink(missing_ok=True)
        loopback.put(file.name, BODIES[name][file.name] + b" ")
    with pytest.raises(DataError, match="what came is not the file"):
        source.read()
    assert left_in(source.cache) == set()
