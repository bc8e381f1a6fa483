import base64
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kinoscope.data.segments import Segment
from kinoscope.report import Curve, Report, SimilarityMap, VideoPage, similarity_map
from kinoscope.report.media import collect_media
from kinoscope.report.payload import printable, report_payload, script_json, thin_curve


def payload_of(page):
    return report_payload(Report("r", (page,)), collect_media((page,), None, 0))["pages"][0]


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_script_json_says_the_same_and_cannot_end_its_element(value):
    text = script_json(value)
    assert json.loads(text) == value
    assert text.isascii()
    assert not set("<>&") & set(text)


@given(st.text(alphabet=st.characters(codec=None)))
def test_printable_text_can_be_encoded_and_holds_no_control_character(text):
    shown = printable(text).encode("utf-8").decode("utf-8")
    assert not any(ord(letter) < 32 and letter not in "\t\n\r" for letter in shown)


@pytest.mark.parametrize(("rows", "size"), [(7, 160), (160, 160), (161, 160), (50, 7), (1, 4), (12, 4)])
def test_similarity_map_is_the_mean_cosine_of_every_pair(rows, size):
    features = np.random.default_rng(rows).normal(size=(rows, 5))
    times = np.arange(rows) * 0.5
    drawn = similarity_map(features, times.tolist(), "raw", max_size=size)

    count = min(rows, size)
    groups = [
        [row for row in range(rows) if group * rows // count <= row < (group + 1) * rows // count]
        for group in range(count)
    ]
    assert [row for group in groups for row in group] == list(range(rows))
    for i, first in enumerate(groups):
        assert drawn.times[i] == pytest.approx(times[first].mean())
        for j, second in enumerate(groups):
            cosines = [
                features[a] @ features[b] / math.sqrt((features[a] @ features[a]) * (features[b] @ features[b]))
                for a in first
                for b in second
            ]
            assert drawn.values[i, j] == pytest.approx(np.mean(cosines))


def test_similarity_map_of_odd_features():
    assert similarity_map(np.zeros((0, 3)), [], "none").values.shape == (0, 0)
    assert (similarity_map(np.zeros((3, 2)), [0, 1, 2], "zeros").values == 0).all()
    broken = similarity_map(np.array([[1.0, 0], [math.nan, 1], [0, 2]]), [0, 1, 2], "nan").values
    assert np.isnan(broken[1]).all()
    assert broken[0, 0] == 1
    with pytest.raises(ValueError, match="one of 2 times"):
        similarity_map(np.zeros((3, 2)), [0, 1], "wrong")


@given(arrays(np.float64, st.integers(1, 400), elements=st.floats(0, 1) | st.just(math.nan)), st.integers(2, 50))
def test_a_thinned_curve_keeps_its_extremes_and_its_order(values, limit):
    times, thin = thin_curve(np.arange(len(values)) * 0.1, values, limit)
    assert len(times) <= max(limit, 1) or len(values) <= limit
    assert (np.diff(times) > 0).all()
    rows = np.rint(times * 10).astype(int)
    assert np.array_equal(thin, values[rows], equal_nan=True)
    if not np.isnan(values).all():
        assert np.nanmax(thin) == np.nanmax(values)
        assert np.nanmin(thin) == np.nanmin(values)


def test_what_is_not_a_number_becomes_null_and_stretches_nothing():
    page = VideoPage(
        "v",
        math.nan,
        (Segment(math.nan, 3, "a", math.inf), Segment(1, 12.5, "b", 0.123456)),
        curves=(Curve("c", [0, math.nan, 2], [math.nan, 0.5, 1]),),
        maps=(
            SimilarityMap("m", [0.5, 1.5], np.array([[1.0, math.nan], [math.nan, 0.5]])),
            SimilarityMap("e", [], np.zeros((0, 0))),
        ),
    )
    drawn = payload_of(page)
    json.dumps(drawn, allow_nan=False)
    assert drawn["duration"] == 12.5
    assert drawn["segments"] == [[None, 3, 0, None], [1, 12.5, 1, 0.1235]]
    assert drawn["curves"] == [{"label": 2, "times": [0, 2], "values": [None, 1]}]
    assert list(base64.b64decode(drawn["maps"][0]["cells"])) == [254, 255, 255, 0]
    assert (drawn["maps"][0]["low"], drawn["maps"][0]["high"], len(drawn["maps"])) == (0.5, 1, 1)


def test_a_map_loses_less_than_half_a_step_of_its_own_range():
    values = 0.98 + 0.02 * np.random.default_rng(1).random((20, 20))
    drawn = payload_of(VideoPage("v", 20, (), maps=(SimilarityMap("m", list(range(20)), values),)))["maps"][0]
    cells = np.frombuffer(base64.b64decode(drawn["cells"]), np.uint8).reshape(20, 20)
    shown = drawn["low"] + cells / 254 * (drawn["high"] - drawn["low"])
    assert np.abs(shown - values).max() <= 0.02 / 254 / 2 + 2e-6


def test_lengths_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="2 times, but 1 values"):
        Curve("a", [0, 1], [0.5])
    with pytest.raises(ValueError, match="shape"):
        SimilarityMap("m", [0, 1], np.zeros((3, 3)))
