from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoscope.report import Chart, Line, Report, render_report
from kinoscope.report.chart import axis, chart_figure, chart_payload, ticks

from .conftest import HOSTILE
from .test_html import Page


def chart(*lines: Line) -> Chart:
    return Chart(HOSTILE, "seconds", "cosine", lines, HOSTILE, (HOSTILE,))


@given(st.lists(st.floats(-1e6, 1e6), max_size=6))
def test_an_axis_holds_every_value_between_round_ticks(values: list[float]) -> None:
    low, high, step = axis(values)
    slack = 1e-5 * step
    assert low < high and all(low - slack <= value <= high + slack for value in values)
    marks = ticks(low, high, step)
    assert 2 <= len(marks) <= 12 and marks[0][0] == 0 and [share for share, _ in marks] == sorted({s for s, _ in marks})
    for share, text in marks:
        assert float(text) == pytest.approx(low + share * (high - low), abs=1e-6 * max(abs(low), abs(high), 1))


def test_lines_stand_where_their_values_are_and_part_where_one_is_missing() -> None:
    line = Line("a", [0, 0.5, 1, 1.5, 2], [0, 1, math.nan, 0.25, math.nan])
    (path,) = re.findall(r'class="curve hue-0" d="(M0[^"]+)"', chart_figure(0, chart(line)))
    assert path == "M0.0 1000.0L250.0 0.0M750.0 750.0h0.01"


def test_a_target_takes_no_colour_from_the_measured() -> None:
    lines = [Line("a", [0, 1], [0, 1]), Line("t", [0, 1], [1, 0], wanted=True), Line("b", [0, 1], [1, 1])]
    assert [line["style"] for line in chart_payload(chart(*lines))["lines"]] == ["hue-0", "wanted dash-0", "hue-1"]


@pytest.mark.parametrize("lines", [[], [Line("a", [], [])], [Line("a", [1], [math.nan])], [Line("a", [1], [0.5])]])
def test_charts_of_nothing_are_drawn(lines: list[Line]) -> None:
    source = chart_figure(0, chart(*lines))
    Page(source)
    assert "nan" not in source.lower()
    json.dumps(chart_payload(chart(*lines)), allow_nan=False)


def test_hostile_texts_stay_texts_and_the_script_is_not_needed() -> None:
    lines = [Line(HOSTILE, [0, 1], [0, 1])]
    source = render_report(Report("r", (), charts=(chart(*lines),), intro=HOSTILE))
    page = Page(source)
    assert not page.all("img")
    (figure,) = page.all("figure")
    assert figure["data-chart"] == "0"
    (field,) = [attrs for attrs in page.all("svg") if attrs.get("role") == "img"]
    assert field["aria-label"].startswith("</script><img")
    assert not re.search(r"\sstyle=", re.sub(r"<script.*?</script>", "", source, flags=re.S))


def test_lengths_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="2 positions, but 1 values"):
        Line("a", [0, 1], [0.5])
