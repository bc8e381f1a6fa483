"""ActivityNet, THUMOS14, MultiTHUMOS and HACS Segments: what their published files hold, as it is read."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kinoscope.data.annotations import read_annotations
from kinoscope.data.segments import Segment
from kinoscope.data.training_part import training_part
from kinoscope.errors import AnnotationError, OptionError

ACTIVITYNET: dict[str, Any] = {
    "version": "VERSION 1.3",
    "taxonomy": [{"nodeName": "Root", "nodeId": 0, "parentId": None}],
    "database": {
        "---9CpRcKoU": {
            "duration": 14.07,
            "subset": "training",
            "resolution": "320x240",
            "url": "https://www.youtube.com/watch?v=---9CpRcKoU",
            "annotations": [{"label": "Drinking beer", "segment": [0.01, 12.644405017160688]}],
        },
        "v_wX0c4kpPI": {"duration": "9.5", "subset": "validation", "annotations": []},
        "--0edUL8zmA": {"duration": 92.88, "subset": "testing", "annotations": []},
    },
}
HACS: dict[str, Any] = {
    "database": {
        "a": {
            "url": "https://www.youtube.com/watch?v=a",
            "subset": "validation",
            "duration": 60.0,
            "annotations": [
                {"segment": [1.0, 5.5], "label": "Archery"},
                {"segment": [7.0, 7.0], "label": "Archery"},
                {"segment": [1.0, 5.5], "label": "Archery"},
            ],
        },
        "b": {"url": "", "subset": "training", "duration": 30.0, "annotations": []},
    }
}


def stored(path: Path, tree: dict[str, Any]) -> Path:
    path.write_text(json.dumps(tree))
    return path


def segments_of(found: Any) -> list[tuple[str, Segment]]:
    return [(name, segment) for name, video in found.videos.items() for segment in video.segments]


def test_activitynet_as_published(tmp_path: Path) -> None:
    found = read_annotations(stored(tmp_path / "activity_net.v1-3.min.json", ACTIVITYNET))
    assert {name: video.subset for name, video in found.videos.items()} == {
        "---9CpRcKoU": "training",
        "v_wX0c4kpPI": "validation",
        "--0edUL8zmA": "testing",
    }
    assert found.videos["v_wX0c4kpPI"].duration == 9.5 and found.classes == ("Drinking beer",)
    assert list(training_part(found, None).videos) == ["---9CpRcKoU"]
    with pytest.raises(OptionError, match="no video is in the subset 'test'"):
        training_part(found, "test")
    path = tmp_path / "cut.json"
    path.write_text((tmp_path / "activity_net.v1-3.min.json").read_text()[:300])
    with pytest.raises(AnnotationError, match="not JSON"):
        read_annotations(path)


def test_hacs_holds_segments_of_no_length(tmp_path: Path) -> None:
    path = stored(tmp_path / "HACS_segments_v1.1.1.json", HACS)
    kept = read_annotations(path, on_flaw="keep")
    assert [segment.duration for _, segment in segments_of(kept)] == [4.5, 0, 4.5]
    assert [(flaw.kind, flaw.done) for flaw in kept.flaws] == [("empty", "kept"), ("duplicate", "kept")]
    assert len(segments_of(read_annotations(path, on_flaw="drop"))) == 1
    with pytest.raises(AnnotationError, match="2 problems"):
        read_annotations(path)


def test_durations_may_be_missing(tmp_path: Path) -> None:
    tree = {"database": {name: {**entry, "duration": None} for name, entry in HACS["database"].items()}}
    del tree["database"]["b"]["duration"]
    found = read_annotations(stored(tmp_path / "a.json", tree), on_flaw="keep")
    assert found.videos["a"].duration is None and found.videos["b"].duration is None


def test_real_thumos14(shared_data: Path) -> None:
    found = read_annotations(shared_data / "annotations" / "thumos_gt.json")
    assert Counter(video.subset for video in found.videos.values()) == {"test": 210, "train": 200}
    assert len(found.classes) == 20 and not found.flaws and not found.remarks
    test = found.subset("test")
    assert len(segments_of(test)) == 3_311
    rows = set(segments_of(found))
    cliff = [(name, segment) for name, segment in rows if segment.label == "CliffDiving"]
    assert len(cliff) == 360
    assert all((name, Segment(s.start, s.end, "Diving")) in rows for name, s in cliff), "CliffDiving is Diving too"


def test_real_multithumos(shared_data: Path) -> None:
    path = shared_data / "annotations" / "multithumos_anno.json"
    found = read_annotations(path, on_flaw="drop")
    assert Counter(video.subset for video in found.videos.values()) == {"training": 10, "validation": 10}
    assert len(segments_of(found)) == 702 and [flaw.kind for flaw in found.flaws] == ["beyond"]
    assert "end 817 is beyond the duration 135.103" in found.flaws[0].problem
    assert found.videos["video_test_0000004"].duration == 33.826


def test_real_activitynet_of_tsp(shared_data: Path) -> None:
    path = shared_data / "annotations" / "activitynet_v1-3_valid_tsp_groundtruth.csv"
    found = read_annotations(path, on_flaw="keep")
    assert len(found.videos) == 4_926 and len(segments_of(found)) == 7_654 and len(found.classes) == 200
    assert Counter(flaw.kind for flaw in found.flaws) == {"beyond": 568, "duplicate": 19, "empty": 3}
    assert found.remarks == (f"left out, marked 'No action': 7747 rows, the first at {path}:7656",)
    assert found.videos["JDg--pjY5gg"].duration == pytest.approx(126.13333)
    assert all(video.duration is not None for video in found.videos.values())


def test_tsp_tables_without_their_columns(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "annotations" / "activitynet_v1-3_valid_tsp_groundtruth.csv"
    with path.open() as file:
        header, row = next(file), next(file)
    for name, message in (("t-end", "no column end"), ("action-label", "no column label"), ("video-name", "video")):
        (tmp_path / "a.csv").write_text(header.replace(name, "other") + row)
        with pytest.raises(AnnotationError, match=message):
            read_annotations(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text(header + row.rsplit(",", 4)[0].replace("JDg", "../JDg"))
    with pytest.raises(AnnotationError, match="leads out of the folder"):
        read_annotations(tmp_path / "a.csv", on_flaw="drop")
