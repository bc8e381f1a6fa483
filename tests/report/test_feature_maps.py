"""A video's page of maps, and the numbers of the picture above it."""

from __future__ import annotations

import numpy as np
import pytest

from kinoscope.data.features import Features, FeatureTime
from kinoscope.data.segments import Segment
from kinoscope.report.feature_maps import ZOOM_ROWS, FeatureColumn, feature_page, wanted_cosine
from kinoscope.report.feature_numbers import FeatureNumbers, similarity_chart, similarity_table, verdicts
from kinoscope.report.maps import MAP_SIZE
from kinoscope.sola import SolaOptions
from kinoscope.sola.diagnostics import cosine_by_distance, effective_rank

RAW, SOLA = FeatureColumn("raw"), FeatureColumn("sola", SolaOptions())


def features_of(rows: int, *, step: float = 0.5, switch: int | None = None, noise: float = 0.1, seed: int = 0):
    """Rows of one direction up to ``switch``, of another from there on, with noise."""
    random = np.random.default_rng(seed)
    values = np.zeros((rows, 6)) + noise * random.normal(size=(rows, 6))
    values[: switch or rows, 0] += 1
    values[switch or rows :, 1] += 1
    return Features(values.astype(np.float32), FeatureTime(2 / step, 2, 1, 0.25, rows * step), "made")


def test_what_is_asked_for_is_the_table_of_the_specification():
    wanted = wanted_cosine(SolaOptions(), FeatureTime(2, 1, 1))
    assert len(wanted) == 15  # 8 positions, every second row
    assert wanted[::2] == pytest.approx([1, 1, 0.964, 0.711, 0.462, 0.310, 0.219, 0.162], abs=5e-4)


def test_distance_in_seconds_asks_the_same_of_rows_that_are_a_second_apart():
    time = FeatureTime(25, 25 / 2, 16)  # two rows per second, as the official features
    seconds = wanted_cosine(SolaOptions(distance="seconds"), time)
    assert seconds == pytest.approx(wanted_cosine(SolaOptions(), time))


def test_a_short_video_is_one_row_of_maps():
    page = feature_page("v", [RAW, SOLA], [features_of(MAP_SIZE), features_of(MAP_SIZE)])
    assert [item.title for item in page.maps] == ["raw", "sola", "Target: what SoLa was asked for"]
    assert {item.group for item in page.maps} == {"Whole video"}
    assert not page.film and page.segments == () and page.duration == MAP_SIZE * 0.5
    target = page.maps[2].values
    assert target[40, 42] == pytest.approx(1, abs=1e-3) and target[40, 54] == pytest.approx(0.162, abs=5e-4)
    assert np.isnan(target[40, 55]) and "more than 7 s apart" in page.map_notes[-1]


def test_a_long_video_is_shown_in_detail_where_its_features_change():
    video = features_of(1000, switch=700)
    page = feature_page("v", [RAW, SOLA], [video, video])
    whole, detail = dict.fromkeys(item.group for item in page.maps)
    assert "1,000 rows: a cell is the mean over 6.2 rows (3.1 s)" in whole
    assert "the strongest change" in detail
    stretch = page.maps[3]
    assert len(stretch.times) == ZOOM_ROWS
    assert stretch.times[ZOOM_ROWS // 2] == pytest.approx(float(video.time.to_seconds(700)))
    assert stretch.values[0, 0] > 0.9 > 0.3 > stretch.values[0, -1]


def test_annotations_choose_the_boundary_where_the_features_change_most():
    video = features_of(1000, switch=700)
    near = float(video.time.to_seconds(690))
    page = feature_page("v", [RAW], [video], [Segment(20, 50, "a"), Segment(near, 900, "beyond the end")])
    assert "annotated boundary" in page.maps[1].group
    assert page.maps[1].times[ZOOM_ROWS // 2] == pytest.approx(near)
    assert any("where annotated segments start and end" in note for note in page.map_notes)
    assert page.truth[0].label == "a"


@pytest.mark.parametrize("place", [0, 999])
def test_the_stretch_stays_inside_the_video(place):
    video = features_of(1000)
    at = float(video.time.to_seconds(place))
    detail = feature_page("v", [RAW], [video], [Segment(at, 5000, "a")]).maps[1]
    assert len(detail.times) == ZOOM_ROWS
    assert {round(time, 6) for time in detail.times} <= {round(time, 6) for time in video.time.centers(1000)}


def test_columns_of_different_rates_show_the_same_seconds():
    coarse, fine = features_of(400, switch=200), features_of(800, step=0.25, switch=400)
    page = feature_page("v", [RAW, FeatureColumn("fine")], [coarse, fine])
    ends = [(item.times[0], item.times[-1]) for item in page.maps[2:]]
    assert ends[0] == pytest.approx(ends[1], abs=0.5)
    assert len(page.maps[2].times) == ZOOM_ROWS < len(page.maps[3].times) <= MAP_SIZE


def test_different_targets_are_all_shown_and_equal_ones_once():
    video = features_of(50)
    columns = [RAW, SOLA, FeatureColumn("again", SolaOptions(kernel=3)), FeatureColumn("wide", SolaOptions(lam=64))]
    page = feature_page("v", columns, [video] * 4)
    titles = [item.title for item in page.maps[4:]]
    assert titles == ["Target: what SoLa was asked for in sola", "Target: what SoLa was asked for in wide"]
    assert len(page.map_notes) == 1  # both reach equally far


def test_targets_that_reach_differently_far_are_told_apart():
    columns = [SOLA, FeatureColumn("short", SolaOptions(size=4))]
    notes = feature_page("v", columns, [features_of(50)] * 2).map_notes
    assert [note.split(", which")[0] for note in notes] == [
        "Hatched in the target of sola: moments more than 7 s apart",
        "Hatched in the target of short: moments more than 3 s apart",
    ]


@pytest.mark.parametrize("rows", [1, 2, 13, 161])
def test_every_length_can_be_drawn(rows):
    video = features_of(rows)
    page = feature_page("v", [SOLA], [video])
    numbers = FeatureNumbers([SOLA], [video], 1)
    numbers.add([video])
    assert page.maps[0].values.shape == (min(rows, MAP_SIZE),) * 2
    similarity_chart(numbers, numbers.result()), similarity_table(numbers, numbers.result())


def test_numbers_are_the_mean_over_videos_and_not_over_pairs():
    videos = [features_of(60, seed=1), features_of(200, seed=2, noise=2), features_of(5, seed=3)]
    numbers = FeatureNumbers([RAW, SOLA], [videos[0]] * 2, len(videos))
    for video in videos:
        numbers.add([video, video])
    raw, sola = numbers.result()
    each = np.stack([cosine_by_distance(video.values, 28) for video in videos])
    assert raw.cosine == pytest.approx(np.nanmean(each, axis=0))  # the short one has no pair so far apart
    assert (raw.cosine == sola.cosine).all() and raw.seconds == pytest.approx(np.arange(29) * 0.5)
    assert raw.effective_rank == pytest.approx(effective_rank(np.concatenate([video.values for video in videos])))
    table = similarity_table(numbers, [raw, sola])
    assert table.header == ["Features", "1 s", "2 s", "4 s", "7 s", "Effective rank"]
    assert "1, 2, 4, 7 steps" in table.note and "over 3 videos" in table.note
    assert table.rows[0][1:5] == pytest.approx(raw.cosine[[2, 4, 8, 14]])
    assert table.rows[2][1:5] == pytest.approx([1, 0.964, 0.462, 0.162], abs=5e-4)


def drifting(speed: float) -> Features:
    """Rows that turn evenly: rows d apart have the cosine cos(speed · d)."""
    angle = speed * np.arange(100)
    values = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    return Features(values, FeatureTime(2, 1, 1), "made")


@pytest.mark.parametrize(
    ("before", "after", "column", "words"),
    [
        (0.05, 0.08, SOLA, "fell, 0.765 to 0.436; 0.162 was asked for, so it came closer to that."),
        (0.08, 0.05, SOLA, "rose, 0.436 to 0.765; 0.162 was asked for: the opposite happened."),
        (0.08, 0.15, SOLA, "fell, 0.436 to -0.505; 0.162 was asked for, so it went too far."),
        (0.08, 0.08, SOLA, "stayed, 0.436 to 0.436; 0.162 was asked for."),
        (0.08, 0.05, RAW, "rose, 0.436 to 0.765."),
    ],
)
def test_the_verdict_says_whether_similarity_did_as_asked(before, after, column, words):
    columns = [FeatureColumn("raw", SOLA.options if column is RAW else None), column]
    videos = [drifting(before), drifting(after)]
    numbers = FeatureNumbers(columns, videos, 1)
    numbers.add(videos)
    (said,) = verdicts(numbers, numbers.result())
    assert said.startswith(f"{column.title}: the similarity of moments 7 s apart ") and said.endswith(words)


@pytest.mark.parametrize(("rows", "step"), [(4, 0.5), (60, 10)])
def test_what_cannot_be_compared_is_told(rows, step):
    videos = [features_of(rows, step=step), features_of(60)]
    numbers = FeatureNumbers([RAW, SOLA], videos, 1)
    numbers.add(videos)
    (said,) = verdicts(numbers, numbers.result())
    assert said.startswith("sola: moments 7 s apart cannot be compared")
    assert np.isnan(similarity_table(numbers, numbers.result()).rows[0][4])
