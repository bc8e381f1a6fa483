"""The page of a localiser's training: safe, complete, and true to the times."""

from __future__ import annotations

import re
from pathlib import Path

from kinoscope.data.segments import Segment
from kinoscope.report.content import Chart, Line
from kinoscope.report.evaluation import EvaluationPage, Stack, render_evaluation_page
from kinoscope.report.overview import Example, OverviewPage, render_overview_page, write_overview_page

EVIL = '<script>alert("1")</script>'
CHART = Chart("Loss", "epoch", "", [Line("training loss", [0.5, 1.5], [2.0, 1.0])], "falls")


def page(*examples: Example) -> OverviewPage:
    return OverviewPage("Training", "epoch 2", [CHART], examples, ("fall", EVIL))


def test_segments_stand_where_they_are(tmp_path: Path) -> None:
    truth = [Segment(0.0, 5.0, "fall"), Segment(2.5, 7.5, EVIL)]
    found = [Segment(5.0, 10.0, "fall", 0.5)]
    write_overview_page(tmp_path / "o.html", page(Example(EVIL, 10.0, truth, found)))
    html = (tmp_path / "o.html").read_text()
    places = re.findall(r'class="label (hue-\d)" x="([\d.]+)" y="(\d+)" width="([\d.]+)"', html)
    assert places == [
        ("hue-0", "0.0", "0", "500.0"),
        ("hue-1", "250.0", "16", "500.0"),
        ("hue-0", "500.0", "0", "500.0"),
    ]
    assert 'fill-opacity="0.62"' in html and "score 0.500" in html and "<script" not in html and "Loss" in html


def test_odd_examples() -> None:
    nothing = Example("empty", 0.0, (), [Segment(0.0, float("inf"), "fall", 0.5), Segment(1.0, 1.0, "other", 2.0)])
    html = render_overview_page(page(nothing))
    assert "nan" not in html.lower().replace("nano", "") and html.count("<rect") == 1
    assert "Held-out videos" not in render_overview_page(page())


def test_an_evaluation_is_escaped_and_stacked() -> None:
    stack = Stack("Kinds", ("right", EVIL), [("first", [0.25, 0.75]), ("none", [0.0, 0.0])], "a note")
    html = render_evaluation_page(EvaluationPage(EVIL, "average mAP 0.5", [CHART], [stack], notes=[EVIL]))
    assert "<script" not in html and 'width="250.0"' in html and 'x="250.0" width="750.0"' in html and "a note" in html
