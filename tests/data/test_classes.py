"""Names for numbers: lists of classes, and annotations that hold numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kinoscope.data.annotations import read_annotations
from kinoscope.data.classes import read_classes
from kinoscope.data.segments import Segment
from kinoscope.errors import AnnotationError


@pytest.mark.parametrize(
    "text",
    [
        '["take", "open a jar"]',
        '{"open a jar": 1, "take": 0}',
        "take\nopen a jar\n",
        "\ufeff0 take\r\n1 open a jar\r\n",
        "1 open a jar\n\n0 take\n",
        "0,take\n1,open a jar\n",
    ],
)
def test_lists_in_many_dresses(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mapping.txt"
    path.write_bytes(text.encode())
    assert read_classes(path) == ("take", "open a jar")


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ('["take", "take"]', ': "take"', "'take' stands at"),
        ('["take", 3]', "", "holds 3"),
        ('["take", ""]', ': ""', "class 1 has no name"),
        ("[]", "", "names no class"),
        ('{"take": 0, "open": 0}', ': "open"', "class 0 is 'open', but 'take' before"),
        ('{"take": 0, "open": 2}', "", "no class has the number 1"),
        ('{"take": 1, "open": 2}', "", "no class has the number 0"),
        ('{"take": true}', "", "holds 'take': True"),
        ('{"take": -1}', "", "holds 'take': -1"),
        ('["take", "op', ":1:10", "not JSON"),
        ("0 take\n0 open\n", ":2", "class 0 is 'open'"),
        ("take\nopen\ntake\n", ":3", "'take' stands at"),
        ("", "", "is empty"),
    ],
)
def test_lists_that_are_none(tmp_path: Path, text: str, where: str, message: str) -> None:
    path = tmp_path / "classes"
    path.write_text(text)
    with pytest.raises(AnnotationError) as caught:
        read_classes(path)
    assert caught.value.where is not None and str(caught.value.where) == f"{path}{where}"
    assert message in caught.value.problem and caught.value.cure


def store(path: Path, *labels: object) -> Path:
    rows = [{"segment": [at, at + 1], "label": label} for at, label in enumerate(labels)]
    path.write_text(json.dumps({"database": {"v": {"annotations": rows}}}))
    return path


def test_numbers_are_places_in_the_list(tmp_path: Path) -> None:
    path = store(tmp_path / "a.json", 1, "0")
    found = read_annotations(path, classes=("take", "open"))
    assert found.videos["v"].segments == (Segment(0, 1, "open"), Segment(1, 2, "take"))
    assert read_annotations(store(path, "1"), classes=["1", "0"]).classes == ("1",), "a name goes before a number"
    for labels, message in (((2,), "no class has the number 2"), ((-1,), "unknown label '-1'")):
        with pytest.raises(AnnotationError, match=message):
            read_annotations(store(path, *labels), classes=("take", "open"))
    with pytest.raises(AnnotationError, match="unknown label '1'"):
        read_annotations(store(path, 1), classes={"take", "open"})  # a set has no order


def test_numbers_and_names_are_not_mixed(tmp_path: Path) -> None:
    path = store(tmp_path / "a.json", "take", 1, "open")
    for classes in (None, ("take", "open")):
        with pytest.raises(AnnotationError) as caught:
            read_annotations(path, on_flaw="keep", classes=classes)
        assert caught.value.where == f'{path}: database["v"].annotations[1].label'
        assert "label '1' is a number, but 'take' at" in caught.value.problem
    found = read_annotations(path, on_flaw="drop")
    assert found.classes == ("open", "take") and [flaw.kind for flaw in found.flaws] == ["label"]
    table = tmp_path / "a.csv"
    table.write_text("video,start,end,label\na,0,1,take\na,1,2,1\n")
    assert read_annotations(table).classes == ("1", "take"), "in a table alone, 1 may be a name"
    with pytest.raises(AnnotationError, match="is a number, but 'take' at"):
        read_annotations(table, classes=("take", "open"))


def test_the_real_list(shared_data: Path) -> None:
    folder = shared_data / "annotations"
    names = read_classes(folder / "activitynet_v1-3_action_label_mapping.json")
    assert len(names) == 200 and names[:2] == ("Applying sunscreen", "Archery")
    table = folder / "activitynet_v1-3_valid_tsp_groundtruth.csv"
    assert set(read_annotations(table, on_flaw="keep", classes=names).classes) == set(names)
