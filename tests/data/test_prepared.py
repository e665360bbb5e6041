"""The cache of prepared data: what hits, what misses, what is broken, who comes at the same time."""

import json
import logging
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import composed, interactions
from omegaconf import OmegaConf

from recseq.data import prepared
from recseq.data.interactions import Dataset, Interactions, ItemFeatures
from recseq.data.prepared import Entry, make_room
from recseq.data.sources import SOURCES
from recseq.data.sources.tabular import Tabular
from recseq.errors import DataError
from recseq.files import conf_folder
from recseq.splitting import SPLITTERS

OFF = OmegaConf.to_container(composed().preprocessing, resolve=True)


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text("user_id,item_id,datetime\n" + "".join(f"{i % 7},{i % 5},2024-01-{1 + i % 20:02}\n" for i in range(200)))
    (tmp_path / "items.csv").write_text("item_id,genre,year,name\n" + "".join(f"{i},g{i % 2},{2000 + i},N{i}\n" for i in range(5)))
    return path


def node(path: Path, *overrides: str) -> dict[str, Any]:
    items = ["items.path=" + str(path.with_name("items.csv")), "items.title=name", "items.numeric=[year]"]
    file = OmegaConf.load(conf_folder() / "dataset" / "tabular.yaml")
    found = OmegaConf.to_container(OmegaConf.merge(file, OmegaConf.from_dotlist([f"path={path}", "cache=true", *items, *overrides])))
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def read_prepared(dataset: dict[str, Any], preprocessing: dict[str, Any], cache: Path) -> Dataset:
    return prepared.read_prepared({"dataset": dataset, "preprocessing": preprocessing, "paths": {"cache": str(cache), "data": None}})


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each reading of files."""
    count: list[int] = []
    read = Tabular.read

    def counted(self: Tabular) -> Dataset:
        count.append(1)
        return read(self)

    monkeypatch.setattr(Tabular, "read", counted)
    return count


def same(one: Dataset, other: Dataset) -> None:
    assert one.interactions.frame.equals(other.interactions.frame)
    assert one.interactions.frame.schema == other.interactions.frame.schema
    assert Interactions(other.interactions.frame).fingerprint == one.interactions.fingerprint == other.interactions.fingerprint
    for name in ("n_users", "n_items", "tied_rows"):
        assert getattr(one.interactions, name) == getattr(other.interactions, name)
    assert (one.item_features is None) == (other.item_features is None)
    if one.item_features is not None and other.item_features is not None:
        assert one.item_features.categorical.equals(other.item_features.categorical)
        assert one.item_features.numeric.equals(other.item_features.numeric)
        assert one.item_features.fingerprint == other.item_features.fingerprint
    for name in ("titles", "users"):
        mine, its = getattr(one, name), getattr(other, name)
        assert (mine is None) == (its is None)
        assert mine is None or (mine.equals(its) and mine.schema == its.schema)
    assert one.interactions.clock == other.interactions.clock
    assert (one.name, one.simulated, one.notes, one.dropped) == (other.name, other.simulated, other.notes, other.dropped)


def test_a_hit_is_the_same_dataset_without_reading(log_file: Path, tmp_path: Path, reads: list[int]) -> None:
    options = {**OFF, "deduplicate": "first"}
    fresh = read_prepared(node(log_file, "cache=false"), options, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    first = read_prepared(node(log_file), options, tmp_path / "cache")
    assert len(reads) == 2
    second = read_prepared(node(log_file), options, tmp_path / "cache")
    assert len(reads) == 2
    assert second.dropped == {"deduplicate, first stays": 165}
    for found in (first, second):
        same(fresh, found)


def test_all_that_a_dataset_has_is_kept(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": ["a", "a", "b"], "item_id": [1, 2, 1]}).with_columns(weight=pl.Series([1, 2, 3], dtype=pl.Float32))
    whole = Dataset(
        name="whole:one",
        interactions=Interactions.with_steps(frame),
        item_features=ItemFeatures.from_long(
            pl.DataFrame({"item_id": [1], "feature": ["genre"], "value": ["é"]}),
            pl.DataFrame({"item_id": [2], "feature": ["year"], "value": [1999.5]}),
        ),
        titles=pl.DataFrame({"item_id": [1], "title": ["One"]}),
        users=pl.DataFrame({"user_id": ["a", "b"], "age": ["18-24", None], "kids": [0, 2]}),
        simulated=True,
        notes=("first", "second"),
        dropped={"b": 2, "a": 1},
    )
    bare = Dataset("bare", interactions([(1, 2, 3)]))
    for field in fields(Dataset):  # a new field has to be thought of here, and in the cache
        assert getattr(whole, field.name) is not getattr(bare, field.name), field.name
    entry = Entry(tmp_path / "entry")
    entry.store(whole)
    found = entry.load()
    assert found is not None
    same(whole, found)
    assert list(found.dropped) == ["b", "a"]
    Entry(tmp_path / "bare").store(bare)
    same(bare, Entry(tmp_path / "bare").load())  # type: ignore[arg-type]


def test_steps_from_the_cache_are_still_no_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.txt"
    path.write_text("".join(f"{user} {item}\n" for user in range(1, 9) for item in (user, user + 1, user + 2)))
    dataset = {"type": "sasrec", "subset": "Beauty", "path": str(path), "cache": True}
    first = read_prepared(dataset, OFF, tmp_path / "cache")
    monkeypatch.setattr(SOURCES.find("sasrec", ""), "read", lambda self: pytest.fail("read again"))
    again = read_prepared(dataset, OFF, tmp_path / "cache")
    same(first, again)
    assert again.interactions.clock == "steps"
    by_time = {"test_size": "1H", "n_splits": 1, "skip_last": 0}
    filters = {"filter_cold_users": False, "filter_cold_items": False, "filter_already_seen": False}
    with pytest.raises(DataError, match=r"splitter=time_range needs times.*use splitter=last_n"):
        list(SPLITTERS.build({"type": "time_range", **by_time, **filters}).split(again.interactions))


def test_simulated_data_is_kept_by_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = ("dataset.n_users=50", "dataset.n_items=30", "dataset.n_interactions=200")
    options = OmegaConf.to_container(composed(*small).dataset)
    assert isinstance(options, dict)
    first = read_prepared(options, OFF, tmp_path)  # type: ignore[arg-type]
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr(SOURCES.find("demo", ""), "read", lambda self: pytest.fail("simulated again"))
    same(first, read_prepared(options, OFF, tmp_path))  # type: ignore[arg-type]
    with pytest.raises(pytest.fail.Exception):
        read_prepared({**options, "seed": 2}, OFF, tmp_path)  # type: ignore[arg-type]


def test_what_changes_the_data_misses(log_file: Path, tmp_path: Path, reads: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    read_prepared(node(log_file), OFF, cache)
    read_prepared(node(log_file, "columns.item_id=user_id"), OFF, cache)
    assert len(reads) == 2
    read_prepared(node(log_file), {**OFF, "k_core_users": 2}, cache)
    assert len(reads) == 3
    log_file.write_text(log_file.read_text().replace("2024-01-20", "2024-01-21"))  # the same size
    assert read_prepared(node(log_file), OFF, cache).interactions.frame["datetime"].dt.day().max() == 21
    assert len(reads) == 4
    items = log_file.with_name("items.csv")
    items.write_text(items.read_text().replace("g0", "g9"))
    read_prepared(node(log_file), OFF, cache)
    assert len(reads) == 5
    monkeypatch.setattr("recseq.__version__", "99")
    read_prepared(node(log_file), OFF, cache)
    assert len(reads) == 6


def test_a_file_put_in_its_place_with_the_same_size_and_date_is_seen(log_file: Path, tmp_path: Path) -> None:
    cache, before = tmp_path / "cache", log_file.stat()
    assert read_prepared(node(log_file), OFF, cache).interactions.frame["user_id"].max() == 6
    text = log_file.read_text().replace("\n6,", "\n8,")
    log_file.write_text(text)
    os.utime(log_file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (log_file.stat().st_size, log_file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert read_prepared(node(log_file), OFF, cache).interactions.frame["user_id"].max() == 8


def test_files_that_change_while_they_are_read_are_not_kept(
    log_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read = Tabular.read

    def read_and_change(self: Tabular) -> Dataset:
        found = read(self)
        log_file.write_text(log_file.read_text() + "99,1,2024-01-01\n")
        return found

    monkeypatch.setattr(Tabular, "read", read_and_change)
    read_prepared(node(log_file), OFF, tmp_path / "cache")
    assert "changed while they were read" in caplog.text
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing", "no meta", "bad meta"])
def test_a_broken_entry_is_made_anew_with_a_warning(
    log_file: Path, tmp_path: Path, reads: list[int], caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    cache = tmp_path / "cache"
    first = read_prepared(node(log_file), OFF, cache)
    (entry,) = cache.iterdir()
    file = entry / "interactions.parquet"
    data = bytearray(file.read_bytes())
    if damage == "truncated":
        file.write_bytes(data[:100])
    elif damage == "flipped":
        data[40] ^= 1
        file.write_bytes(data)
    elif damage == "missing":
        file.unlink()
    elif damage == "no meta":
        (entry / "meta.json").unlink()
    else:
        (entry / "meta.json").write_text('{"sha256": 3')
    with caplog.at_level(logging.WARNING):
        same(first, read_prepared(node(log_file), OFF, cache))
    assert f"prepared data in {entry} is broken" in caplog.text
    assert len(reads) == 2
    read_prepared(node(log_file), OFF, cache)
    assert len(reads) == 2
    assert [path.name for path in cache.iterdir()] == [entry.name]


def test_a_cache_that_cannot_be_written_to_is_no_reason_to_stop(log_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cache").write_text("a file")
    assert len(read_prepared(node(log_file), OFF, tmp_path / "cache").interactions) == 200
    assert "cannot be kept" in caplog.text


class Silent:
    """A source of somebody's own that does not say which files it reads."""

    def read(self) -> Dataset:
        return Dataset("silent", interactions([(1, 2, 3)]))


def test_a_source_that_does_not_know_its_files_is_not_kept(tmp_path: Path) -> None:
    assert read_prepared({"type": "test_prepared.Silent", "cache": True}, OFF, tmp_path / "cache").name == "silent"
    assert not (tmp_path / "cache").exists()


def test_processes_at_once_get_the_same_and_leave_one_entry(log_file: Path, tmp_path: Path) -> None:
    code = (
        "import json, sys; from recseq.data.prepared import read_prepared\n"
        "config = json.loads(sys.argv[1]); sys.stdin.readline()\n"
        "print(read_prepared(config).interactions.fingerprint)"
    )
    cache = tmp_path / "cache"
    config = {"dataset": node(log_file), "preprocessing": OFF, "paths": {"cache": str(cache), "data": None}}
    arguments = [sys.executable, "-c", code, json.dumps(config)]
    jobs = [subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    done = [job.communicate("go\n", timeout=120) for job in jobs]
    assert [job.returncode for job in jobs] == [0] * 4, done
    expected = read_prepared(node(log_file, "cache=false"), OFF, cache).interactions.fingerprint
    assert {out.strip() for out, _ in done} == {expected}
    assert len(list(cache.iterdir())) == 1


def test_an_entry_that_another_job_has_written_meanwhile_stays(
    log_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "cache"
    load = Entry.load

    def race(self: Entry) -> Dataset | None:
        assert load(self) is None
        self.store(prepared.prepare(SOURCES.build(node(log_file)), prepared.Preprocessing(**OFF)))  # the other job
        return None

    monkeypatch.setattr(Entry, "load", race)
    first = read_prepared(node(log_file), OFF, cache)
    monkeypatch.setattr(Entry, "load", load)
    same(first, read_prepared(node(log_file), OFF, cache))
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(list(cache.iterdir())) == 1


def test_the_entries_unused_for_longest_leave(tmp_path: Path) -> None:
    for age, name in enumerate(["newest", "middle", "oldest"]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "meta.json").write_text("x" * 100)
        os.utime(tmp_path / name, (10**9 - age, 10**9 - age))
    (tmp_path / ".dead.1.partial").mkdir()
    os.utime(tmp_path / ".dead.1.partial", (10**9, 10**9))
    (tmp_path / ".alive.2.partial").mkdir()
    make_room(tmp_path, 250)
    assert {path.name for path in tmp_path.iterdir()} == {"newest", "middle", ".alive.2.partial"}
    make_room(tmp_path, 1)
    assert {path.name for path in tmp_path.iterdir()} == {"newest", ".alive.2.partial"}


def test_counts_of_interactions() -> None:
    frame = pl.DataFrame({"user_id": [1, 1, 1, 2], "item_id": [5, 6, 5, 5], "day": [1, 1, 2, 1]})
    frame = frame.select("user_id", "item_id", datetime=pl.datetime(2024, 1, "day").cast(pl.Datetime("us")), weight=pl.lit(1.0, pl.Float32))
    found = Interactions(frame)
    assert (found.n_users, found.n_items, found.tied_rows) == (2, 2, 2)
    assert Interactions(frame.clear()).tied_rows == 0
