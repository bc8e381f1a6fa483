"""What is written comes back the same, and cannot hurt who opens it."""

from __future__ import annotations

import csv
import json
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kinoscope import __version__
from kinoscope.data.annotations import (
    read_annotations,
    read_predictions,
    resolve_videos,
    write_annotations_json,
    write_predictions_csv,
    write_predictions_json,
    write_srt,
)
from kinoscope.data.annotations_csv import guard, unguard
from kinoscope.data.segments import Annotations, Segment, VideoAnnotation
from kinoscope.errors import AnnotationError, OutputError

_text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=8)
labels = st.one_of(_text, st.sampled_from(["=1+1", "'=x", "''-a", "a,b", 'say "x"', "two\nlines", "\tx"])).map(
    str.strip
)
labels = labels.filter(bool)
names = st.from_regex(r"[-=+@'a-z0-9_ü][a-z0-9_ü'\"-]{0,8}(/[-=a-z0-9]{1,4})?", fullmatch=True)
times = st.floats(0, 1e6, allow_nan=False)


@st.composite
def predictions(draw: st.DrawFn) -> dict[str, list[Segment]]:
    def segment() -> Segment:
        start, end = sorted((draw(times), draw(times)))
        return Segment(start, end if end > start else start + 1, draw(labels), draw(st.floats(-1e3, 1e3)))

    found = {name: [segment() for _ in range(draw(st.integers(0, 4)))] for name in draw(st.sets(names, max_size=3))}
    return {name: list(dict.fromkeys(segments)) for name, segments in found.items()}


def segments_of(annotations: Annotations) -> dict[str, list[Segment]]:
    return {name: list(video.segments) for name, video in annotations.videos.items()}


@settings(max_examples=60, deadline=None)
@given(predictions())
@example({"0": [Segment(0.0, 1.0, "line\rbreak", 0.0), Segment(0.0, 1.0, "line\nbreak", 0.0)]})
def test_predictions_come_back(found: dict[str, list[Segment]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, write in (("p.json", write_predictions_json), ("p.csv", write_predictions_csv)):
            path = Path(folder, name)
            write(path, found)
            assert segments_of(read_predictions(path, on_flaw="error")) == found


@settings(max_examples=60, deadline=None)
@given(predictions(), st.sampled_from([None, 2e6]), st.sampled_from([None, "test"]))
def test_annotations_come_back(found: dict[str, list[Segment]], duration: float | None, subset: str | None) -> None:
    truth = {
        name: VideoAnnotation(
            tuple(dict.fromkeys(Segment(s.start, s.end, s.label) for s in segments)),
            duration=duration,
            subset=subset,
            path=Path(f"{name}.mp4"),
        )
        for name, segments in found.items()
    }
    truth["always"] = VideoAnnotation()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "truth.json")
        write_annotations_json(path, Annotations(truth))
        assert read_annotations(path).videos == truth


@given(st.text("='+-@\t\rab", max_size=5))
def test_guarded_cells_never_begin_a_formula(cell: str) -> None:
    assert unguard(guard(cell)) == cell
    assert not re.match(r"[=+\-@\t\r]", guard(cell))


def test_layout_and_meta(tmp_path: Path) -> None:
    path = tmp_path / "out" / "p.json"
    write_predictions_json(path, {"v": [Segment(0, 1, "x", 0.5)]}, model="runs/a", note="ü")
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "version": f"kinoscope {__version__}",
        "results": {"v": [{"label": "x", "segment": [0.0, 1.0], "score": 0.5}]},
        "external_data": {"model": "runs/a", "note": "ü"},
    }
    write_predictions_json(path, {}, version="mine")
    assert json.loads(path.read_text()) == {"version": "mine", "results": {}, "external_data": {}}
    write_predictions_json(path, {}, classifier="cuhk.json")
    said = {"used": True, "details": "cuhk.json", "classifier": "cuhk.json"}
    assert json.loads(path.read_text())["external_data"] == read_predictions(path).external == said


def test_formulas_are_disarmed(tmp_path: Path) -> None:
    write_predictions_csv(tmp_path / "p.csv", {"-id": [Segment(0, 1, '=HYPERLINK("x")', -0.5)]})
    with (tmp_path / "p.csv").open(newline="") as file:
        assert list(csv.reader(file))[1] == ["'-id", "0.0", "1.0", '\'=HYPERLINK("x")', "-0.5"]


NAN = float("nan")


@pytest.mark.parametrize(
    "segment",
    [Segment(1, 1, "x", 0.5), Segment(2, 1, "x", 0.5), Segment(NAN, 1, "x", 0.5), Segment(-1, 1, "x", 0.5)],
)
def test_segments_that_are_none_are_not_written(tmp_path: Path, segment: Segment) -> None:
    for write in (write_predictions_json, write_predictions_csv):
        with pytest.raises(AnnotationError, match="0 <= start < end"):
            write(tmp_path / "p", {"v": [segment]})
    with pytest.raises(AnnotationError, match="0 <= start < end"):
        write_srt(tmp_path / "p", [segment])
    with pytest.raises(AnnotationError, match="0 <= start < end"):
        write_annotations_json(tmp_path / "p", Annotations({"v": VideoAnnotation((segment,))}))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("score", [None, NAN, float("inf")])
def test_scores_are_needed(tmp_path: Path, score: float | None) -> None:
    for write in (write_predictions_json, write_predictions_csv):
        with pytest.raises(AnnotationError, match="score"):
            write(tmp_path / "p", {"v": [Segment(0, 1, "x", score)]})
    assert not list(tmp_path.iterdir())


def test_clips_do_not_fit_the_layout(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="label of a clip"):
        write_annotations_json(tmp_path / "p", Annotations({"v": VideoAnnotation(label="x")}))


def test_unwritable_places(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_predictions_json(tmp_path / "file" / "p.json", {})
    with pytest.raises(OutputError):
        write_srt(tmp_path, [])


def test_subtitles(tmp_path: Path) -> None:
    path = tmp_path / "s.srt"
    rows = [Segment(3661.5, 3662.0014, "b", 0.875), Segment(0, 0.0001, "a\n\n9\n00:00 --> <b>{\\an8}x")]
    write_srt(path, rows)
    assert path.read_text(encoding="utf-8").split("\n\n") == [
        "1\n00:00:00,000 --> 00:00:00,001\na 9 00:00 → ‹b›(\\an8)x",
        "2\n01:01:01,500 --> 01:01:02,001\nb (88%)\n",
    ]
    write_srt(path, [])
    assert path.read_text() == ""


# --- video files ---------------------------------------------------------------------------------------------------


def videos(*names: str, **paths: str) -> Annotations:
    found = {name: VideoAnnotation() for name in names}
    return Annotations(found | {name: VideoAnnotation(path=Path(path)) for name, path in paths.items()})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a.mp4", "d/b.MKV", "d/v_c.mp4", "x/twice.mp4", "y/twice.mp4", "a.txt"):
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / name).touch()
    return tmp_path / "videos"


def test_videos_are_found(root: Path) -> None:
    found = resolve_videos(videos("d/b", "b", "c", "x/twice", a="a.mp4"), root)
    assert {name: path.relative_to(root).as_posix() for name, path in found.items()} == {
        "d/b": "d/b.MKV",
        "b": "d/b.MKV",
        "c": "d/v_c.mp4",
        "x/twice": "x/twice.mp4",
        "a": "a.mp4",
    }


def test_videos_that_are_not_found(root: Path) -> None:
    with pytest.raises(AnnotationError, match=r"8 of 9 videos have no file in .*: 'm0', .*'m4' and 3 more"):
        resolve_videos(videos("a", *(f"m{index}" for index in range(8))), root)
    with pytest.raises(AnnotationError, match=r"could be 'x/twice\.mp4', 'y/twice\.mp4'"):
        resolve_videos(videos("twice"), root)
    with pytest.raises(AnnotationError, match="does not exist"):
        resolve_videos(videos("a"), root / "none")


@pytest.mark.parametrize("path", ["../secret.mp4", "d/../../secret.mp4", "/etc/secret.mp4"])
def test_videos_are_never_looked_for_elsewhere(root: Path, path: str) -> None:
    (root.parent / "secret.mp4").touch()
    with pytest.raises(AnnotationError, match="leads out"):
        resolve_videos(videos(secret=path), root)
    with pytest.raises(AnnotationError, match="leads out"):
        resolve_videos(videos(path), root)


def test_real_videos_are_found(shared_data: Path) -> None:
    truth = read_annotations(shared_data / "urfd" / "annotations.json")
    assert len(resolve_videos(truth, shared_data / "urfd" / "videos")) == 70
