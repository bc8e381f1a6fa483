"""Tables of durations in the forms in which they come; tables of lengths are not taken for them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kinoscope.data.durations import read_durations, refuse_lengths
from kinoscope.data.features import Features, FeatureTime
from kinoscope.errors import AnnotationError, FeatureError

EXPECTED = {"a": 12.5, "d/v_b": 30.0}
TABLES = {
    "plain.json": json.dumps({"a": 12.5, "d/v_b.npy": "30"}),
    "files.json": json.dumps({"a.mp4": 12.5, "d/v_b.mp4.npy": 30, "unknown": None}),
    "activitynet.json": json.dumps(
        {
            "version": "1.3",
            "taxonomy": [],
            "database": {
                "a": {"duration": 12.5, "subset": "training", "annotations": [{"segment": [9, 1], "label": 3}]},
                "d/v_b": {"duration": "30.0", "url": "x"},
                "unknown": {"subset": "testing"},
            },
        }
    ),
    "gtad.json": json.dumps(
        {"a": {"duration_second": 12.5, "duration_frame": 375, "feature_frame": 368}, "d/v_b": {"duration_second": 30}}
    ),
    "table.csv": "video,duration\na,12.5\nd/v_b.npy,30\n",
    "bsn.csv": "video,numFrame,seconds,fps,rfps,subset,featureFrame\na,375,12.5,30,29.9,t,368\nd/v_b,900,30,9,9,t,9\n",
    "more.csv": "\ufeffDuration;split;Video\n12,5;train;a.mp4\n30;test;d\\v_b.MP4\n;test;unknown\n",
    "twice.tsv": "video\tduration\na\t12.5\nd/v_b\t30\na\t12.50\n\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_durations(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(TABLES[name], encoding="utf-8")
    assert read_durations(tmp_path / name) == EXPECTED


BROKEN = {
    "list.json": ("[12.5]", r"list\.json: is no table of durations"),
    "text.json": ('{"database": "a"}', "is no table of durations"),
    "cut.json": ('{"a": 12.5', r"cut\.json:1:\d+: not JSON"),
    "twice.json": ('{"a": 1, "a": 2}', "the key 'a' occurs twice"),
    "conflict.json": ('{"a": 1, "a.npy": 2}', r'conflict\.json: \["a.npy"\]: duration of \'a\' is .*2.* here but .*1'),
    "words.json": ('{"a": "long"}', r'words\.json: \["a"\]: duration is \'long\', not a number'),
    "nested.json": ('{"database": {"a": {"duration": [1]}}}', r'database\["a"\]: duration is \[1\], not a number'),
    "negative.json": ('{"a": -1}', "duration -1 is not positive"),
    "infinite.json": ('{"a": 1e999}', "duration is inf"),
    "truth.json": ('{"a": true}', "duration is True, not a number"),
    "none.json": ('{"a": null}', "holds no duration"),
    "empty.json": ("{}", "holds no duration"),
    "upwards.json": ('{"../a": 1}', "leads out"),
    "empty.csv": ("", "is empty"),
    "commas.csv": (",,\n,\n", "no column video"),
    "header.csv": ("name_of,duration\na,1\n", r"header\.csv:1: no column video; the header has 'name_of', 'duration'"),
    "lengths.csv": ("video,length\na,1\n", "no column duration"),
    "only.csv": ("video,duration\n", "holds no duration"),
    "clock.csv": ("video,duration\na,1\nb,1:30\n", r"clock\.csv:3: duration is '1:30'(.|\n)*1:30 is 90"),
    "many.csv": ("video,duration\na,x\nb,y\n", r"2 problems\n.*many\.csv:2: .*\n.*many\.csv:3: "),
    "open.csv": ('video,duration\n"a,1\n', r"open\.csv:2: not a readable table"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_tables_that_cannot_be_used(tmp_path: Path, name: str) -> None:
    text, said = BROKEN[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(AnnotationError, match=said):
        read_durations(tmp_path / name)


def test_no_such_table(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="no such"):
        read_durations(tmp_path / "none.csv")


# --- lengths -------------------------------------------------------------------------------------------------------


def folder(step: float, count: int = 10) -> dict[str, Features]:
    time = FeatureTime(1 / step, 1, 1)
    return {f"v{number}": Features(np.ones((10 + number, 2), np.float32), time) for number in range(count)}


def test_tables_of_lengths_are_refused() -> None:
    features = folder(0.5)
    lengths = {name: float(len(each)) for name, each in features.items()}
    with pytest.raises(
        FeatureError, match=r"feats: the durations of 10 of 10 .* \('v0': 10\).* every 0.5 s(.|\n)*Cure"
    ):
        refuse_lengths(features, lengths, Path("feats"))
    with pytest.raises(FeatureError, match="durations of 9 of 10"):  # one is stale, one of no video
        refuse_lengths(features, lengths | {"v3": 99.0, "other": 5.0}, Path("feats"))


def test_durations_are_not_refused() -> None:
    features = folder(0.5)
    refuse_lengths(features, {name: len(each) * 0.5 for name, each in features.items()}, Path("feats"))
    refuse_lengths(features, {"v0": 10.0} | {f"v{number}": 3.0 for number in range(1, 10)}, Path("feats"))
    refuse_lengths(features, {}, Path("feats"))
    seconds = folder(1.0)  # a row each second: lengths are durations
    refuse_lengths(seconds, {name: float(len(each)) for name, each in seconds.items()}, Path("feats"))
