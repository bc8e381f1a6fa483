"""``localize videos/new.mp4`` gives predictions of ``new``; a table that says ``videos/new.mp4`` means the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoscope.data.segments import Annotations, Segment, VideoAnnotation
from kinoscope.evaluate import evaluate_detection, evaluate_files
from kinoscope.evaluate.names import match_folders

NAMES = st.sets(st.sampled_from(["a", "b", "x/a", "x/b", "y/a", "y/x/a", "z/b", "c"]))


@pytest.mark.parametrize(
    ("predicted", "known", "renamed"),
    [
        (["new"], ["videos/new"], {"new": "videos/new"}),
        (["other/new"], ["videos/new"], {"other/new": "videos/new"}),
        (["videos/new"], ["new"], {"videos/new": "new"}),
        (["new"], ["new"], {}),
        (["new"], ["new", "videos/new"], {}),
        (["new"], ["a/new", "b/new"], {}),  # which of the two?
        (["a/new", "b/new"], ["new"], {}),  # which of the two?
        (["new", "videos/new"], ["videos/new"], {}),  # predicted already
        (["new"], ["renew"], {}),
        (["New"], ["videos/new"], {}),
    ],
)
def test_only_what_cannot_be_mistaken_is_matched(
    predicted: list[str], known: list[str], renamed: dict[str, str]
) -> None:
    found, got = match_folders({name: [Segment(0, 1, name, 0.5)] for name in predicted}, known)
    assert got == renamed
    assert {name: segments[0].label for name, segments in found.items()} == {renamed.get(n, n): n for n in predicted}


@given(NAMES, NAMES)
def test_nothing_is_lost_and_nothing_meets_twice(predicted: set[str], known: set[str]) -> None:
    found, renamed = match_folders({name: [] for name in predicted}, known)
    assert len(found) == len(predicted) and set(renamed.values()) <= known
    assert not (set(renamed) & known) and all(name in found for name in predicted & known)


def test_own_says_what_it_took_for_what(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("video,start,end,label\nvideos/new.mp4,1,2,fall\nvideos/old.mp4,1,2,fall\n")
    (tmp_path / "new.csv").write_text("video,start,end,label,score\nnew,1,2,fall,0.9\nold,1,2,fall,0.8\n")
    result = evaluate_files(tmp_path / "new.csv", tmp_path / "labels.csv", "own")
    assert result.average_map == 1 and result.scored_videos == ("videos/new", "videos/old")
    (reason,) = result.reasons
    assert reason.kind == "other_folder" and reason.names == ("new", "old")
    assert "'new' as 'videos/new', 'old' as 'videos/old'" in reason.text
    published = evaluate_files(tmp_path / "new.csv", tmp_path / "labels.csv", "hacs")
    assert published.average_map == 0, "published protocols take names as they are"


def test_a_video_of_another_subset_stays_there() -> None:
    truth = Annotations(
        {
            "train/a": VideoAnnotation((Segment(0, 1, "x"),), subset="train"),
            "test/b": VideoAnnotation((Segment(0, 1, "x"),), subset="test"),
        }
    )
    result = evaluate_detection({"a": [Segment(0, 1, "x", 0.9)], "b": [Segment(0, 1, "x", 0.1)]}, truth)
    assert result.average_map == 1 and {"other_folder", "other_subset"} <= {each.kind for each in result.reasons}


def test_the_file_of_a_video_may_have_another_name() -> None:
    truth = Annotations({"adl-21": VideoAnnotation((Segment(1, 2, "fall"),), path=Path("videos/adl-21-cam0.mp4"))})
    result = evaluate_detection({"adl-21-cam0": [Segment(1, 2, "fall", 0.9)]}, truth)
    assert result.average_map == 1.0
    assert [reason.kind for reason in result.reasons if reason.kind == "other_folder"]
