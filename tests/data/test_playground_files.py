"""The playground on disk: what is written, when it is kept, when refused."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from kinoscope.data.playground import PlaygroundOptions, PlaygroundPaths, make_playground
from kinoscope.data.playground.plan import plan_playground
from kinoscope.errors import OptionError, OutputError

TINY = PlaygroundOptions(
    seed=3,
    size=(48, 64),
    fps=10,
    clips_per_class=2,
    orders_per_class=1,
    details_per_class=2,
    untrimmed_videos=6,
    detail_size=(96, 128),
    untrimmed_seconds=(8, 10),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> PlaygroundPaths:
    return make_playground(tmp_path_factory.mktemp("playground"), TINY)


def rows(path: Path | None) -> list[dict[str, str]]:
    assert path is not None
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def decoded(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_every_video_opens_at_its_size_with_constant_frame_times(made: PlaygroundPaths) -> None:
    plans = plan_playground(TINY)
    assert len(made.videos) == len(plans) == 2 * 9 + 6 + 2 * 3 + 6
    for path, plan in zip(made.videos, plans, strict=True):
        with av.open(str(path)) as container:
            frames = list(container.decode(video=0))
            assert container.streams.video[0].average_rate == TINY.fps
        assert [frame.time for frame in frames] == pytest.approx(np.arange(plan.frames) / TINY.fps, abs=1e-9)
        assert (frames[0].height, frames[0].width) == plan.size


def test_class_tables_are_balanced_and_split_alike(made: PlaygroundPaths) -> None:
    for table, per_class in ((made.clips, 2), (made.order, 1), (made.detail, 2)):
        found = rows(table)
        assert set(Counter(row["label"] for row in found).values()) == {per_class}
        assert all((made.folder / row["video"]).is_file() for row in found)
        assert not any(row["label"] in row["video"] for row in found)
        for split in {row["split"] for row in found}:
            of_split = Counter(row["label"] for row in found if row["split"] == split)
            assert len(of_split) == len({row["label"] for row in found}) and len(set(of_split.values())) == 1


def test_no_file_number_goes_with_a_class() -> None:
    plans = plan_playground(replace(TINY, clips_per_class=60))
    seats = Counter((plan.index % 9, plan.label) for plan in plans if plan.kind == "clips")
    assert len(seats) == 81 and max(seats.values()) < 20


def test_both_annotations_of_the_untrimmed_videos_say_the_same(made: PlaygroundPaths) -> None:
    assert made.untrimmed_json is not None
    database = json.loads(made.untrimmed_json.read_text(encoding="utf-8"))["database"]
    table: dict[str, list[tuple[str, float, float]]] = {}
    for row in rows(made.untrimmed_csv):
        actions = table.setdefault(row["video"].removesuffix(".mp4"), [])
        assert database[row["video"].removesuffix(".mp4")]["subset"] == row["split"]
        if row["label"]:
            actions.append((row["label"], float(row["start"]), float(row["end"])))
    assert len(database) == 6 and any(not actions for actions in table.values())
    for name, video in database.items():
        assert table[name] == [(action["label"], *action["segment"]) for action in video["annotations"]]
        assert all(0 < start < end < video["duration"] for _, start, end in table[name])


def test_the_annotation_readers_take_the_files(made: PlaygroundPaths) -> None:
    annotations = pytest.importorskip("kinoscope.data.annotations")
    assert made.untrimmed_csv and made.untrimmed_json and made.clips
    from_csv, from_json = (annotations.read_annotations(path) for path in (made.untrimmed_csv, made.untrimmed_json))
    assert from_csv.videos.keys() == from_json.videos.keys() and from_csv.classes == from_json.classes
    assert len(annotations.read_annotations(made.clips).classes) == 9


def test_evidence_lies_inside_its_clip(made: PlaygroundPaths) -> None:
    durations = {plan.path: plan.frames / TINY.fps for plan in plan_playground(TINY)}
    labels = {row["video"]: row["label"] for table in (made.order, made.detail) for row in rows(table)}
    found = rows(made.evidence)
    assert {row["video"] for row in found} == set(labels)
    for row in found:
        assert 0 < float(row["start"]) < float(row["end"]) < durations[row["video"]]
        assert row["label"] in labels[row["video"]].split("-then-")


def test_the_same_seed_gives_the_same_frames_and_another_does_not(made: PlaygroundPaths, tmp_path: Path) -> None:
    few = replace(TINY, clips_per_class=1, orders_per_class=0, details_per_class=1, untrimmed_videos=2)
    again = make_playground(tmp_path / "again", few)
    for path in again.videos:  # other counts, same videos: each depends on its own number alone
        original = made.folder / path.relative_to(again.folder)
        assert np.array_equal(decoded(path), decoded(original))
    other = make_playground(tmp_path / "other", replace(few, seed=4, details_per_class=0, untrimmed_videos=0))
    assert all(
        decoded(a).shape != decoded(b).shape or np.any(decoded(a) != decoded(b))
        for a, b in zip(other.videos, again.videos, strict=False)
    )


def test_a_second_run_keeps_what_is_finished_and_makes_what_is_missing(tmp_path: Path) -> None:
    few = replace(TINY, clips_per_class=1, orders_per_class=0, details_per_class=0, untrimmed_videos=1)
    first = make_playground(tmp_path, few)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in first.videos}
    first.videos[2].unlink()
    calls: list[tuple[int, int]] = []
    second = make_playground(tmp_path, few, progress=lambda done, total: calls.append((done, total)))
    assert second == first and calls == [(done, 10) for done in range(11)]
    for path, (time, content) in before.items():
        assert path.read_bytes() == content
        assert (path.stat().st_mtime_ns == time) == (path != first.videos[2])
    assert not list(tmp_path.rglob("*.part*"))


def test_other_options_are_refused_unless_overwriting_is_allowed(tmp_path: Path) -> None:
    few = replace(TINY, clips_per_class=1, orders_per_class=0, details_per_class=0, untrimmed_videos=2)
    make_playground(tmp_path, few)
    with pytest.raises(OptionError, match=r"other options.*\n.*Cure"):
        make_playground(tmp_path, replace(few, seed=9))
    made = make_playground(tmp_path, replace(few, seed=9, clips_per_class=0, untrimmed_videos=1), overwrite=True)
    assert sorted(tmp_path.rglob("*.mp4")) == list(made.videos)
    assert made.clips is None and not (tmp_path / "clips.csv").exists()


def test_videos_of_unknown_making_are_not_taken_for_finished(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "0000.mp4").write_bytes(b"")
    with pytest.raises(OptionError):
        make_playground(tmp_path, TINY)


def test_a_file_in_the_folders_place_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="taken"):
        make_playground(tmp_path / "taken", TINY)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"size": (47, 64)}, "size"),
        ({"fps": 0}, "fps"),
        ({"split": (0.5, 0.5, 0.5)}, "split"),
        ({"motion_classes": ("left-to-right", "jump")}, "jump"),
        ({"order_classes": ("sweep-then-fly",)}, "fly"),
        ({"untrimmed_classes": ()}, "untrimmed_classes"),
        ({"clip_seconds": (3.0, 2.0)}, "clip_seconds"),
        ({"clip_seconds": (float("nan"), 2.0)}, "clip_seconds"),
        ({"action_seconds": (2.0, 9.0)}, "untrimmed_seconds"),
        ({"clips_per_class": -1}, "clips_per_class"),
    ],
)
def test_a_bad_option_is_named(change: dict[str, object], named: str) -> None:
    with pytest.raises(OptionError, match=named):
        replace(TINY, **change)
