"""Files of event boundaries: written strictly, read tolerantly; ground truth of GEBD and out of annotations."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.data.annotations import read_annotations
from kinoscope.data.boundaries import (
    FORMAT,
    Boundary,
    read_boundaries,
    read_boundary_durations,
    read_text,
    write_boundaries_csv,
    write_boundaries_json,
)
from kinoscope.data.boundary_truth import boundary_truth, is_gebd, merged, read_gebd
from kinoscope.errors import AnnotationError

FOUND = {"falls/01": [Boundary(1.5, 0.75), Boundary(3.0)], "-quiet": []}
ENTRY = {"f1_consis_avg": 0.8, "fps": 25.0, "video_duration": 10.0, "substages_timestamps": [[2.0, 5.0], []]}


def put(path: Path, value: object) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


# --- found boundaries ----------------------------------------------------------------------------------------------


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    write_boundaries_json(path, FOUND, encoder="tiny")
    assert read_boundaries(path) == {name: tuple(found) for name, found in FOUND.items()}
    tree = json.loads(path.read_text())
    assert tree["version"] == FORMAT and tree["external_data"] == {"encoder": "tiny"}
    assert tree["boundaries"]["falls/01"] == [{"time": 1.5, "score": 0.75}, {"time": 3.0}]


def test_the_table(tmp_path: Path) -> None:
    write_boundaries_csv(tmp_path / "b.csv", FOUND)
    lines = (tmp_path / "b.csv").read_bytes().decode().split("\r\n")
    assert lines == ["video,time,score", "falls/01,1.5,0.75", "falls/01,3.0,", "'-quiet,,", ""]
    assert read_boundaries(tmp_path / "b.csv") == {name: tuple(found) for name, found in FOUND.items()}


def test_other_layouts_are_read(tmp_path: Path) -> None:
    wanted = {"a": (Boundary(1.0), Boundary(-2.5)), "b": ()}
    assert read_boundaries(put(tmp_path / "gebd.json", {"a": [1, -2.5], "b": []})) == wanted
    assert read_boundaries(put(tmp_path / "text.json", {"a.mp4": ["1.0", {"time": "-2.5"}], "b": []})) == wanted
    assert read_boundaries(put(tmp_path / "bare.json", {"boundaries": {"a": [1, -2.5], "b": []}})) == wanted
    assert read_boundaries(put(tmp_path / "empty.json", {})) == {}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [1.0, None]}, r'\["a"\]\[1\]: a time is None'),
        ({"a": [True]}, "a time is True"),
        ({"a": [{"score": 0.5}]}, "time is None"),
        ({"a": [{"time": 1, "score": "high"}]}, r'\["a"\]\[0\]\.score: score is .high'),
        ('{"a": [NaN]}', "a time is nan"),
        ('{"a": [1e999]}', "a time is inf"),
        (f'{{"a": [1{"0" * 400}]}}', "a time is 1000"),
        ({"a": 1.0}, "is 1.0, not a list"),
        ({"a": [], "a.mp4": []}, "a second time"),
        ('{"a": [1], "a": [2]}', "the key 'a' occurs twice"),
        ({"results": {"a": []}}, "holds no boundaries but segments"),
        ([1.0], "holds no boundaries but list"),
        ({"version": "kinoscope-boundaries-9", "boundaries": {}}, "is of version 'kinoscope-boundaries-9'"),
        ('{"a": [1.0', r"b\.json:1:11: not JSON"),
        ("[" * 100_000, "cannot be used|not JSON"),
        ("video,start,end,label\na,1,2,x\n", r"b\.json:1: is neither a table of boundaries nor JSON"),
        ("", "is neither"),
        ("video,time\na,1\nb,one\n", r"b\.json:3: time is 'one'"),
        ("time,video\n1,\n", r"b\.json:2: names no video"),
        (f"video,time\n{'a' * 200_000},1\n", "not a readable table"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, value: object, message: str) -> None:
    path = put(tmp_path / "b.json", value)
    with pytest.raises(AnnotationError, match=message) as caught:
        read_boundaries(path)
    assert str(path) in str(caught.value) and caught.value.cure


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="no such file"):
        read_boundaries(tmp_path / "none.json")
    with pytest.raises(AnnotationError, match="is a folder"):
        read_boundaries(tmp_path)
    (tmp_path / "b.json").write_bytes(b'{"\xff": []}')
    with pytest.raises(AnnotationError, match="not UTF-8"):
        read_boundaries(tmp_path / "b.json")


class Evil:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("name", ["k400_mr345_val_min_change_duration0.3.pkl", "renamed.json"])
def test_a_pickle_is_never_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    for read in (read_boundaries, read_text, is_gebd, read_gebd):
        with pytest.raises(AnnotationError, match=r"is a pickle(.|\n)*Cure: (.|\n)*JSON"):
            read(tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("bad", [Boundary(-0.1), Boundary(float("nan")), Boundary(1.0, float("inf"))])
def test_what_cannot_be_written(tmp_path: Path, bad: Boundary) -> None:
    for write in (write_boundaries_json, write_boundaries_csv):
        with pytest.raises(AnnotationError, match="a boundary of 'a'"):
            write(tmp_path / "b", {"a": [bad]})
    assert not list(tmp_path.iterdir())


# --- what is true --------------------------------------------------------------------------------------------------


def test_gebd(tmp_path: Path) -> None:
    path = put(tmp_path / "gt.json", {"v1": {**ENTRY, "num_frames": 250}, "v2.mp4": {**ENTRY, "video_duration": "4"}})
    truth = read_gebd(path)
    assert is_gebd(path) and list(truth) == ["v1", "v2"] and truth["v2"].duration == 4.0
    assert truth["v1"].raters == ((2.0, 5.0), ()) and truth["v1"].consistency == 0.8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"substages_timestamps": None}, "has no list"),
        ({"substages_timestamps": []}, "one list per rater"),
        ({"substages_timestamps": [2.0]}, "one list per rater"),
        ({"substages_timestamps": [["two"]]}, "a time is 'two'"),
        ({"video_duration": None}, "video_duration is None"),
        ({"video_duration": 0}, "not positive"),
        ({"f1_consis_avg": "good"}, "f1_consis_avg is 'good'"),
    ],
)
def test_flaws_of_gebd(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = put(tmp_path / "gt.json", {"good": ENTRY, "bad": {**ENTRY, **change}})
    assert is_gebd(path)
    with pytest.raises(AnnotationError, match=message) as caught:
        read_gebd(path)
    assert '["bad"]' in str(caught.value)


def test_annotations_are_not_gebd(tmp_path: Path) -> None:
    assert not is_gebd(put(tmp_path / "a.csv", "video,start,end,label\na,1,2,x\n"))
    assert not is_gebd(put(tmp_path / "a.json", {"database": {"a": {"annotations": []}}}))
    assert not is_gebd(put(tmp_path / "b.json", "{"))


def test_starts_and_ends_are_boundaries(tmp_path: Path) -> None:
    rows = ["a,0,2.0,x,10", "a,2.04,5,y,10", "a,5,7,x,10", "a,7.3,9.95,x,10", "b,,,,4"]
    path = put(tmp_path / "a.csv", "\n".join(["video,start,end,label,duration", *rows]))
    truth = boundary_truth(read_annotations(path))
    assert truth["a"].raters == ((pytest.approx(2.02), 5.0, 7.0, 7.3),) and truth["a"].consistency is None
    assert truth["b"].raters == ((),) and truth["b"].duration == 4.0


def test_durations_are_needed_and_segments(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "video,start,end,label\na,1,2,x\nb,1,2,x\n")
    with pytest.raises(AnnotationError, match=r"the duration of 'a' and of 1 more(.|\n)*column duration"):
        boundary_truth(read_annotations(path))
    path = put(tmp_path / "c.csv", "video,label,duration\na,x,3\n")
    with pytest.raises(AnnotationError, match="'a' has a label but no segments"):
        boundary_truth(read_annotations(path))


@settings(deadline=None)
@given(st.lists(st.floats(0, 10), max_size=20), st.floats(0, 1))
def test_merged_times(times: list[float], tolerance: float) -> None:
    found = merged(times, tolerance)
    assert found == sorted(found) and len(found) <= len(set(times))
    assert all(min(abs(time - each) for each in found) <= tolerance + 1e-9 for time in times)
    assert merged(times, 0.0) == sorted(set(times))


def test_durations_go_with_the_boundaries(tmp_path: Path) -> None:
    write_boundaries_json(tmp_path / "b.json", FOUND, {"a": 9.5}, encoder="tiny")
    assert read_boundary_durations(tmp_path / "b.json") == {"a": 9.5}
    for text in ('{"a": [1.5]}', "video,time,score\na,1,0.5\n", '{"boundaries": {}}'):
        (tmp_path / "c.json").write_text(text)
        assert read_boundary_durations(tmp_path / "c.json") == {}
    for wrong in ("0", "-1", "null", '"x"', "[]"):
        (tmp_path / "d.json").write_text(f'{{"boundaries": {{}}, "durations": {{"a": {wrong}}}}}')
        with pytest.raises(AnnotationError, match="duration"):
            read_boundary_durations(tmp_path / "d.json")
