"""Small files in the true formats of all datasets that are fetched, and sources that get them from a server on this machine."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import polars as pl
from conftest import composed
from loopback import Loopback, from_loopback, zipped
from omegaconf import OmegaConf

from recseq.data.fetching import RemoteDataset
from recseq.data.sources import SOURCES


def archive(folder: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}.zip": zipped({f"{folder}/{name}": body for name, body in {"README": b"x", **files}.items()})}


def lines(records: list[dict], spelling=json.dumps) -> bytes:
    return gzip.compress("".join(f"{spelling(record)}\n" for record in records).encode())


def parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


REVIEW = {"reviewerID": "A", "asin": "0000031852", "overall": 5.0, "unixReviewTime": 1252800000}
ITEM = {"asin": "0000031852", "title": "Tutu", "price": 3.17, "brand": None}
LISTENS = pl.DataFrame({"uid": [1, 2], "timestamp": [0, 5], "item_id": [3, 4], "played_ratio_pct": [100, 50]})


KION = {
    "interactions.csv": (
        b"user_id,item_id,last_watch_dt,total_dur,watched_pct\n"
        b"176549,9506,2021-05-11,4250,72.0\n"
        b"699317,1659,2021-05-29,8317,10.0\n"
        b"656683,7107,2021-05-09,10,\n"
        b"864613,7638,2021-07-05,14483,100.0\n"
        b"176549,1659,2021-08-22,20,10.5\n"
    ),
    "items_en.csv": (
        ",item_id,content_type,title,title_orig,release_year,genres,countries,for_kids,age_rating,studios,directors,actors,description,"
        "keywords,transliterated\n"
        '0,9506,film,"Talk, to Her",Hable con ella,2002.0,"drama, Foreign, detective",Spain,,16.0,,Pedro Almodóvar,x,'
        '"A ""friendship""\nof two men","Talk, her",Pedro Al\'modovar\n'
        '1,1659,series,Three,,2021.0,"Comedy","USA, France",0.0,18.0,,a,b,c,d,"Tom Harper, ISAAC Florentine"\n'
        "2,7107,film,Nobody's,,,drama,Russia,1.0,0.0,,,,,,\n"
        "3,4,film,Unseen,,1999.0,horror,Russia,,18.0,,,,,,Someone Else\n"
    ).encode(),
    "users_en.csv": (
        b",user_id,age,income,sex,kids_flg\n0,176549,age_25_34,income_60_90,M,1\n1,699317,age_18_24,income_20_40,F,0\n2,5,,,,0\n"
    ),
}

MOVIELENS_CSV = {
    "ratings.csv": b"userId,movieId,rating,timestamp\n1,2,3.5,1112486027\n1,29,0.5,1112484676\n2,2,5.0,974820889\n",
    "movies.csv": (
        "movieId,title,genres\n"
        "2,Jumanji (1995),Adventure|Children|Fantasy\n"
        '29,"City of Lost Children, The (Cité des enfants perdus, La) (1995)",(no genres listed)\n'
        '31,"He said ""no"" (2000)",Drama\n'
    ).encode(),
}
MOVIELENS = {
    "100k": {
        "u.data": b"196\t242\t3\t881250949\n186\t302\t5\t891717742\n196\t267\t1\t881250949\n",
        "u.item": (
            "242|Les Misérables (1995)|24-Jan-1997||http://us.imdb.com/M/title-exact?Kolya%20(1996)|0|0|0|0|0|1|0|0|1|0|0|0|0|0|0|0|0|0|0\n"
            "267|unknown||||1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
            "302|L.A. Confidential (1997)|01-Jan-1997||http://x|0|0|0|0|0|0|1|0|0|0|1|0|0|1|0|0|1|0|0\n"
        ).encode("latin-1"),
    },
    "1m": {
        "ratings.dat": b"1::1193::5::978300760\n1::661::3::978302109\n2::1193::1::978298413\n",
        "movies.dat": (
            "661::James: the Giant Peach (1996)::Animation|Children's|Musical\n1193::Cité, La (1975)::Drama\n2::No One (1990)::\n"
        ).encode("latin-1"),
    },
    "20m": MOVIELENS_CSV,
    "25m": MOVIELENS_CSV,
    "32m": MOVIELENS_CSV,
    "latest_small": MOVIELENS_CSV,
}
MOVIETWEETINGS = {
    "ratings.dat": b"1::0054890::9::1381945744\n2::1408101::0::1382400295\n",
    "movies.dat": "0054890::Fantômas: 2 (1913)::Crime|Drama\n1408101::Goha (1958)::\n".encode(),
}

BODIES: dict[str, dict[str, bytes]] = {
    "kion": archive("data_en", KION),
    "movietweetings": MOVIETWEETINGS,
    **{f"movielens_{version}": archive(f"ml-{version.replace('_', '-')}", files) for version, files in MOVIELENS.items()},
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
"""What is served, by name in conf/dataset, then by name of the file."""
UNVERIFIED = {"movielens_latest_small", "amazon_2014", "amazon_2018", "amazon_2023", "steam"}
"""Datasets without published digests."""


def rows_of(name: str) -> int:
    """Interactions of what is served."""
    return 5 if name == "kion" else 3 if name.startswith("movielens") else 2


def node_of(name: str) -> dict[str, Any]:
    """The node of `dataset=<name>`."""
    node = OmegaConf.to_container(composed(f"dataset={name}").dataset, resolve=True)
    assert isinstance(node, dict)
    return {str(key): value for key, value in node.items()}


def served(
    name: str, data_folder: Path, loopback: Loopback, fault: str | None = None, bodies: dict[str, bytes] | None = None
) -> RemoteDataset:
    """The source of `dataset=<name>`, its files served by the loopback server."""
    return from_loopback(source_of(name, data_folder), loopback, bodies or BODIES[name], fault)


def source_of(name: str, data_folder: Path) -> RemoteDataset:
    """The source of `dataset=<name>` as it is."""
    source = SOURCES.build(node_of(name), data_folder=str(data_folder))
    assert isinstance(source, RemoteDataset)
    return source
