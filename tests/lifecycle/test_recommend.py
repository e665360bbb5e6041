"""mode=recommend and mode=similar: who is served, from what, in which types, and that a file is whole or not there."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command_line import recseq
from conftest import TINY_MODEL, composed
from polars.testing import assert_frame_equal

from recseq.config import check_config
from recseq.errors import ConfigError, DataError
from recseq.lifecycle import load_model
from recseq.lifecycle.recommending import chunks, recommend
from recseq.lifecycle.similar_items import find_similar
from recseq.models import Request
from recseq.modes import run
from recseq.opening import read_dataset

N_USERS, N_ITEMS = 40, 12
TINY = (*TINY_MODEL, "trainer=cpu", "trainer.max_epochs=1", "trainer.enable_progress_bar=false", "item_net=[ids]")
MODELS: dict[str, tuple[str, ...]] = {
    "sasrec": TINY,
    "bert4rec": ("model=bert4rec", *TINY),
    "ease": ("model=ease",),
    "item_knn": ("model=item_knn",),
    "popular": ("model=popular",),
}


def log_of(user: int) -> list[tuple[str, int, str]]:
    """A user's rows: 3 to 6 items in a row, a day each."""
    return [(f"u{user:02}", (user * 5 + step) % N_ITEMS + 100, f"2024-03-{step + 1:02}") for step in range(3 + user % 4)]


def write_log(path: Path, rows: list[Any], columns: tuple[str, ...] = ("user_id", "item_id", "datetime")) -> Path:
    pl.DataFrame(rows, schema=list(columns), orient="row").write_csv(path)
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an interactions file and a model of each kind trained on all of it."""
    home = tmp_path_factory.mktemp("home")
    data = write_log(home / "log.csv", [row for user in range(N_USERS) for row in log_of(user)])
    for name, typed in MODELS.items():
        run(composed("mode=train", "tracking=none", "dataset=tabular", f"dataset.path={data}", *paths(home), *typed), home / name)
    return home


def paths(home: Path) -> tuple[str, str]:
    return f"paths.outputs={home}/outputs", "dataset.cache=false"


def configured(home: Path, mode: str, name: str, *more: str) -> dict[str, Any]:
    typed = MODELS[name]
    data = ("tracking=none", "dataset=tabular", f"dataset.path={home}/log.csv", *paths(home))
    return check_config(composed(f"mode={mode}", f"model_path={home}/{name}/model", *data, *typed, *more))


def recommended(home: Path, folder: Path, name: str, *more: str) -> pl.DataFrame:
    recommend(configured(home, "recommend", name, *more), folder)
    return pl.read_parquet(folder / "recommendations.parquet")


@pytest.mark.parametrize("name", MODELS)
def test_chunks_give_what_one_request_gives(home: Path, tmp_path: Path, name: str) -> None:
    found = recommended(home, tmp_path, name, "recommend.users_per_chunk=7", "recommend.k=4")
    loaded = load_model(home / name / "model", accelerator="cpu")
    interactions = read_dataset(loaded.config | {"dataset": loaded.config["dataset"]}).interactions
    whole = loaded.model.recommend(Request(interactions.frame["user_id"].unique().sort(), interactions, k=4))
    assert_frame_equal(found, whole, rel_tol=1e-5)
    assert found["user_id"].n_unique() == N_USERS
    seen = interactions.frame.select("user_id", "item_id")
    assert found.join(seen, on=["user_id", "item_id"], how="semi").is_empty()
    assert json.loads((tmp_path / "summary.json").read_text())["n_served"] == N_USERS


def test_the_command_serves_new_users_of_a_new_file_to_csv(home: Path, tmp_path: Path) -> None:
    """By the model's own composition: no dataset is typed. The file's ids are numbers; it has users that training never saw."""
    new = write_log(tmp_path / "new.csv", [(7, 100, "2024-04-01"), (7, 101, "2024-04-02"), (8, 999, "2024-04-01"), (9, 105, "2024-04-01")])
    done = recseq(
        tmp_path,
        *("mode=recommend", f"model_path={home}/sasrec/model", f"recommend.history={new}", "tracking=none"),
        *("recommend.path=out.csv", "recommend.k=3", "hydra.run.dir=run"),
    )
    assert done.returncode == 0, done.stderr
    assert "2 users served, 1 unsupported; 6 rows in " in done.stdout
    assert "users per second" in done.stdout
    assert "1 of 3 users cannot be served: no item of the model's vocabulary in their history" in done.stdout
    found = pl.read_csv(tmp_path / "out.csv")
    assert found.schema["user_id"] == pl.Int64
    assert found["user_id"].unique().sort().to_list() == [7, 9]
    assert found["rank"].to_list() == [1, 2, 3, 1, 2, 3]
    assert set(found.filter(pl.col("user_id") == 7)["item_id"]).isdisjoint({100, 101})
    origin = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert origin["model"]["trained_on"]["rows"] == "all rows"


@pytest.mark.parametrize(("word", "served"), [("raise", None), ("warn", 1), ("ignore", 1)])
def test_users_that_cannot_be_served(home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, word: str, served: int | None) -> None:
    asked = ("recommend.users=[u03,nobody]", f"recommend.on_unsupported={word}", f"recommend.path={tmp_path}/out.parquet")
    if served is None:
        with pytest.raises(DataError, match=r"1 of the first 2 users cannot be served: .* nothing is written"):
            recommended(home, tmp_path, "sasrec", *asked)
        assert not (tmp_path / "out.parquet").exists()
        assert not list(tmp_path.glob(".*partial"))
        return
    recommend(configured(home, "recommend", "sasrec", *asked), tmp_path)
    assert pl.read_parquet(tmp_path / "out.parquet")["user_id"].unique().to_list() == ["u03"]
    assert ("1 of 2 users cannot be served" in caplog.text) == (word == "warn")


def test_users_of_a_file_candidates_and_viewed(home: Path, tmp_path: Path) -> None:
    pl.DataFrame({"user_id": ["u05", "u01", "u05"], "other": [1, 2, 3]}).write_parquet(tmp_path / "users.parquet")
    typed = (f"recommend.users={tmp_path}/users.parquet", "recommend.items=[100,103,111,555]", "recommend.filter_viewed=false")
    found = recommended(home, tmp_path / "all", "sasrec", *typed)
    assert found.group_by("user_id").agg(pl.col("item_id").sort()).sort("user_id").rows() == [
        ("u01", [100, 103, 111]),
        ("u05", [100, 103, 111]),
    ]
    write_log(tmp_path / "items.csv", [(item,) for item in ("0103", "105")], ("item_id",))  # 0103 is no number, and so not item 103
    found = recommended(home, tmp_path / "some", "sasrec", f"recommend.items={tmp_path}/items.csv", "recommend.users=[u00,u01]")
    assert set(found["item_id"]) <= {105}


def test_ids_of_both_kinds_meet_as_texts(home: Path, tmp_path: Path) -> None:
    """Numbers in the history, a text among the users asked for: users come out as they are asked for; items stay the model's."""
    write_log(tmp_path / "new.csv", [(7, "100", "2024-04-01"), (8, "x", "2024-04-01"), (8, "101", "2024-04-02")])
    found = recommended(home, tmp_path, "ease", f"recommend.history={tmp_path}/new.csv", "recommend.users=[7,8,ann]")
    assert found["user_id"].unique().sort().to_list() == ["7", "8"]
    assert found.schema["item_id"] == pl.Int64


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("recommend.items=[1,2]", "of which the model knows none, for example 1"),
        ("recommend.users=[]", "recommend.users has no id"),
        ("recommend.path=x.csv recommend.format=parquet", "recommend.path is 'x.csv', recommend.format is 'parquet'"),
        ("recommend.path=x.txt", "whose name says no format"),
    ],
)
def test_options_that_cannot_be(home: Path, tmp_path: Path, typed: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recommended(home, tmp_path, "popular", *typed.split())


def test_a_file_without_the_column_is_refused_by_name(home: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no column 'user_id'"):
        recommended(home, tmp_path, "popular", f"recommend.users={write_log(tmp_path / 'u.csv', [(1,)], ('user',))}")


def test_a_chunk_has_all_rows_of_its_users_in_their_order(home: Path) -> None:
    interactions = read_dataset(configured(home, "recommend", "popular")).interactions
    users = pl.Series(["nobody", *(f"u{user:02}" for user in range(0, N_USERS, 3))]).sort()
    found = list(chunks(users, interactions, 4))
    assert pl.concat([ids for ids, _ in found]).to_list() == users.to_list()
    for ids, rows in found:
        assert_frame_equal(
            rows.frame.sort("user_id", maintain_order=True),
            interactions.frame.filter(pl.col("user_id").is_in(ids.implode())).sort("user_id", maintain_order=True),
        )


@pytest.mark.parametrize("name", ["sasrec", "ease", "item_knn"])
def test_similar_items_in_chunks_are_those_at_once(home: Path, tmp_path: Path, name: str) -> None:
    model = load_model(home / name / "model", accelerator="cpu")
    find_similar(configured(home, "similar", name, "similar.items_per_chunk=5", "similar.k=3"), tmp_path / "all")
    whole = model.model.similar(model.vocabulary.item_ids, 3)
    assert whole is not None
    assert_frame_equal(pl.read_parquet(tmp_path / "all" / "similar.parquet"), whole, rel_tol=1e-5)
    typed = ("similar.items=[105,101]", "similar.filter_itself=false", "similar.k=2", f"similar.path={tmp_path}/two.csv")
    find_similar(configured(home, "similar", name, *typed), tmp_path / "two")
    two = pl.read_csv(tmp_path / "two.csv")
    assert two["item_id"].unique(maintain_order=True).to_list() == [105, 101]
    if name == "sasrec":
        assert two.filter(pl.col("rank") == 1)["similar_item_id"].to_list() == [105, 101]


def test_what_is_not_similar_to_anything(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the model popular compares no items"):
        find_similar(configured(home, "similar", "popular"), tmp_path / "a")
    with pytest.raises(DataError, match="of which 1 are not in the model's vocabulary, for example 7"):
        find_similar(configured(home, "similar", "ease", "similar.items=[100,7]"), tmp_path / "b")
    assert not list(tmp_path.glob("*/similar*"))
