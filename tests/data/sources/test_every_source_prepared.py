"""Every source goes the same way: preprocessed, described, kept in the cache of prepared data, fetched once."""

import json
from pathlib import Path

import pytest
from conftest import composed
from loopback import Loopback
from served_datasets import BODIES, UNVERIFIED, rows_of, served

from recseq.data import prepared
from recseq.data.sources import SOURCES, KnowsFiles
from recseq.modes import run


@pytest.mark.parametrize("name", SOURCES.names())
def test_each_source_says_which_files_it_reads(name: str) -> None:
    assert issubclass(SOURCES.find(name, ""), KnowsFiles)


@pytest.mark.parametrize("name", BODIES)
def test_described_once_read_and_once_from_the_cache(
    loopback: Loopback, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = served(name, tmp_path / "data", loopback)
    monkeypatch.setattr(prepared, "build_source", lambda config: source)
    sampled = ("preprocessing.drop_consecutive=true", "splitter=last_n", f"paths.cache={tmp_path / 'cache'}")

    def describe(folder: str) -> dict:
        run(composed("mode=describe", f"dataset={name}", *sampled), tmp_path / folder)
        found = json.loads((tmp_path / folder / "description.json").read_text())
        assert isinstance(found, dict)
        return found

    first = describe("first")
    assert first["n_rows"] + first["dropped"]["consecutive repeats"] == rows_of(name)
    assert any("is unverified" in note for note in first["notes"]) == (name in UNVERIFIED)
    assert source.name in capsys.readouterr().out
    monkeypatch.setattr(source, "read", lambda: pytest.fail("read again"))
    assert describe("second") == first
    assert set(loopback.requests.values()) == {1}
