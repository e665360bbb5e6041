"""What holds for all splitters."""

import logging
from itertools import product
from pathlib import Path

import pytest
import yaml
from conftest import composed
from golden.split_cases import ties
from omegaconf import OmegaConf
from splitting.test_split_goldens import generated

from recseq.config import check_config
from recseq.errors import ConfigError
from recseq.files import conf_folder
from recseq.modes import run
from recseq.splitting import SPLITTERS

NAMES = sorted(path.stem for path in (conf_folder() / "splitter").glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_every_splitter_counts_what_each_filter_drops(name: str) -> None:
    """Any combination of filters drops what they drop one after the other, and never touches train."""
    data = generated(ties())
    node = OmegaConf.to_container(composed(f"splitter={name}").splitter)
    assert isinstance(node, dict)
    keys = ("filter_cold_users", "filter_cold_items", "filter_already_seen")
    (plain,) = SPLITTERS.build(node | dict.fromkeys(keys, False)).split(data)
    train, users, items = (set(plain.train.frame.select(columns).rows()) for columns in (["user_id", "item_id"], "user_id", "item_id"))
    for on in product((False, True), repeat=3):
        (fold,) = SPLITTERS.build(node | dict(zip(keys, on, strict=True))).split(data)
        assert fold.train.frame.equals(plain.train.frame)
        rows, expected = plain.test.frame.select("user_id", "item_id").rows(), {}
        for key, keep in (
            ("cold_users", lambda row: row[:1] in users),
            ("cold_items", lambda row: row[1:] in items),
            ("already_seen", lambda row: row not in train),
        ):
            if on[keys.index(f"filter_{key}")]:
                kept = [row for row in rows if keep(row)]
                expected[key] = len(rows) - len(kept)
                rows = kept
        assert fold.test.frame.select("user_id", "item_id").rows() == rows
        assert fold.dropped == expected


def test_skipping_all_folds_is_a_conflict() -> None:
    for name in ("time_range", "last_n", "random"):
        with pytest.raises(
            ConfigError, match=r"splitter\.skip_last is 2, must be less than splitter\.n_splits, which is 2, or no fold is left"
        ):
            check_config(composed(f"splitter={name}", "splitter.n_splits=2", "splitter.skip_last=2"))


def test_help_says_of_every_splitter_whether_it_leaks() -> None:
    template = yaml.safe_load((conf_folder() / "hydra" / "help" / "recseq.yaml").read_text())["template"]
    section = template.split("== Splitters: splitter=name ==")[1].split("==")[0]
    said = {line.split()[0]: line for line in section.splitlines() if line.split()[:1] and line.split()[0] in NAMES}
    assert sorted(said) == NAMES
    for name, line in said.items():
        assert ("LEAKS" in line) == (SPLITTERS.find(name, "").leak is not None)
        assert ("No leak" in line) == (SPLITTERS.find(name, "").leak is None)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_warns_once_of_a_splitter_that_leaks(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    small = ("dataset.n_users=300", "dataset.n_items=60", "dataset.n_interactions=2000", "dataset.n_directors=10", "dataset.n_genres=5")
    folds = ("splitter.n_splits=2",) if name != "global_timestamp" else ()
    with caplog.at_level(logging.WARNING, "recseq"):
        run(composed(*small, "model=popular", "tracking=none", f"splitter={name}", *folds), tmp_path / "run")
    warnings = [record.getMessage() for record in caplog.records if "leaks" in record.getMessage()]
    leak = SPLITTERS.find(name, "").leak
    assert warnings == ([f"splitter {name} leaks: {leak}"] if leak else [])
