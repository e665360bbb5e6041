"""SASRec's and S3-Rec's files: orders without times."""

import json
from datetime import datetime, timedelta

import pytest

from recseq.data.sources.s3rec import BLOBS as S3REC_BLOBS
from recseq.data.sources.s3rec import S3Rec
from recseq.data.sources.sasrec import SASRecText
from recseq.errors import DataError

START = datetime(1970, 1, 1)


def at(*seconds):
    return [START + timedelta(seconds=second) for second in seconds]


def sasrec(path):
    return SASRecText(subset="Video", path=str(path)).read()


def test_sasrec(tmp_path):
    path = tmp_path / "Mine.txt"
    path.write_text("1 6393\n1 13504\n2 6393\n1 6393\n\n2 007\n")
    data = sasrec(path)
    assert data.name == "sasrec:Mine"
    assert data.interactions.clock == "steps"
    frame = data.interactions.frame
    assert frame["user_id"].to_list() == [1, 1, 2, 1, 2]
    assert frame["item_id"].to_list() == ["6393", "13504", "6393", "6393", "007"]
    assert frame["datetime"].to_list() == at(0, 1, 0, 2, 1)
    assert frame["weight"].to_list() == [1.0] * 5


def test_sasrec_folder(tmp_path):
    (tmp_path / "Video.txt").write_text("1 2\n1 3\n")
    assert sasrec(tmp_path).name == "sasrec:Video"
    with pytest.raises(DataError, match=r"lacks Video\.txt"):
        sasrec(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("3 4 5", r"line 3, column 'line': the value is '3 4 5', must be 2 fields separated by ' ': user item"),
        ("3", r"line 3, column 'line': the value is '3', must be 2 fields"),
        ("3\t4", r"line 3, column 'line'"),
        (" 4", r"line 3, column 'user': the value is missing"),
        ("3 ", r"line 3, column 'item': the value is missing"),
    ],
)
def test_sasrec_wrong_columns(tmp_path, line, said):
    path = tmp_path / "Mine.txt"
    path.write_text(f"1 2\n1 3\n{line}\n1 4\n")
    with pytest.raises(DataError, match=r"Mine\.txt, " + said):
        sasrec(path)


def s3rec(folder, text, attributes):
    (folder / "Beauty.txt").write_text(text)
    (folder / "Beauty_item2attributes.json").write_text(attributes if isinstance(attributes, str) else json.dumps(attributes))
    return S3Rec(subset="Beauty", path=str(folder)).read()


def test_s3rec(tmp_path):
    data = s3rec(tmp_path, "1 1 2 3\n2 3 4\n10 1\n", {"1": [1, 2, 1], "3": [4], "2": []})
    assert data.interactions.clock == "steps"
    assert data.interactions.frame.select("user_id", "item_id").rows() == [(1, 1), (1, 2), (1, 3), (2, 3), (2, 4), (10, 1)]
    assert data.interactions.frame["datetime"].to_list() == at(0, 1, 2, 0, 1, 0)
    assert data.item_features.categorical.rows() == [(1, "attribute", "1"), (1, "attribute", "2"), (3, "attribute", "4")]
    assert len(data.notes) == 1
    assert data.notes[0].startswith("2 items have interactions but no attributes in ")


def test_s3rec_attributes_of_unknown_items(tmp_path):
    data = s3rec(tmp_path, "1 1 2\n", {"1": [1], "99": [2], "x": [3], "2": [1]})
    assert data.notes[0].startswith("2 items of ")
    assert "attributes but no interactions" in data.notes[0]
    assert set(data.item_features.categorical["item_id"]) == {1, 2, 99}


def test_s3rec_ids_with_zeros(tmp_path):
    data = s3rec(tmp_path, "u1 0000031852 B1\n", {"0000031852": ["Coxlures", "Dance"], "31852": [1]})
    assert data.interactions.frame["item_id"].to_list() == ["0000031852", "B1"]
    assert data.item_features.categorical.filter(item_id="0000031852")["value"].to_list() == ["Coxlures", "Dance"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 2 3\n\n2\n", r"line 3, column 'line': the value is '2', must be a user and at least one item"),
        ("1 2\n2 3\n1 4\n", r"line 3, column 'user': the value is '1', must be on one line only"),
        ("", r" is empty"),
    ],
)
def test_s3rec_broken_lines(tmp_path, text, said):
    with pytest.raises(DataError, match=rf"Beauty\.txt,?.*{said}"):
        s3rec(tmp_path, text, {})


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ('{"1": [1, 2', r"is no JSON: .*line 1"),
        ("[1]", "must be a mapping of items to lists of attributes, is a list"),
        ('{"1": [1], "2": "x"}', r"item '2': the value is 'x', must be a list of attributes"),
        ('{"1": [[1]]}', r"item '1': the value is \[\[1\]\]"),
    ],
)
def test_s3rec_broken_attributes(tmp_path, attributes, said):
    with pytest.raises(DataError, match=r"Beauty_item2attributes\.json.*" + said):
        s3rec(tmp_path, "1 1 2\n", attributes)


def test_files_are_pinned_at_a_commit_and_have_gits_hash():
    files = [
        *[file for subset in ("Beauty", "Steam", "Video", "ml-1m") for file in SASRecText(subset=subset, path=None).remote_files()],
        *[
            file
            for subset in ("Beauty", "Sports_and_Outdoors", "Toys_and_Games", "LastFM", "Yelp")
            for file in S3Rec(subset=subset, path=None).remote_files()
        ],
    ]
    assert len(files) == 4 + len(S3REC_BLOBS)
    assert len({file.digest for file in files}) == len(files)
    for file in files:
        kind, _, digest = file.digest.partition(":")
        commit = file.url.split("/")[5]
        assert (kind, len(digest), len(commit)) == ("git-blob-sha1", 40, 40)
        assert commit in file.published
