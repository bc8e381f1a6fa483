"""A report of features as people see it: maps side by side, a chart above them, nothing to play."""

from __future__ import annotations

import numpy as np
import pytest

from kinoscope.data.features import Features, FeatureTime
from kinoscope.data.segments import Segment
from kinoscope.report import Report, write_report
from kinoscope.report.feature_maps import FeatureColumn, feature_page
from kinoscope.report.feature_numbers import FeatureNumbers, similarity_chart, similarity_table
from kinoscope.sola import SolaOptions

from .conftest import DESKTOP, HOSTILE, PHONE, WIDTHS, photograph, shown, until

pytestmark = pytest.mark.browser

ROWS, STEP = 300, 0.5


@pytest.fixture(scope="module")
def features_file(tmp_path_factory):
    """Two videos, two columns and a target; the second video bears a hostile name."""
    random = np.random.default_rng(0)
    time = FeatureTime(2, 1, 1, 0.0, ROWS * STEP)
    scenes = np.repeat(random.normal(size=(6, 8)), ROWS // 6, axis=0)
    raw = Features((scenes + random.normal(size=(ROWS, 8))).astype(np.float32), time, "made")
    sola = Features((scenes * 3 + raw.values).astype(np.float32), time, "made+sola")
    columns = [FeatureColumn("raw · made"), FeatureColumn(f"sola {HOSTILE}", SolaOptions())]
    truth = (Segment(25, 50, "jump"), Segment(75, 100, HOSTILE))
    numbers = FeatureNumbers(columns, [raw, sola], 1)
    numbers.add([raw, sola])
    measured = numbers.result()
    pages = [
        feature_page("first", columns, [raw, sola], truth),
        feature_page(HOSTILE, columns, [sola, raw]),
    ]
    chart, table = similarity_chart(numbers, measured), similarity_table(numbers, measured)
    path = tmp_path_factory.mktemp("maps") / "maps.html"
    write_report(path, Report(f"Similarity {HOSTILE}", pages, [table], charts=[chart], intro="How to read it."))
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_its_window(open_page, features_file, scheme):
    page = open_page(features_file, scheme=scheme)
    for index in range(2):
        page.locator("nav a").nth(index).click()
        for width, height in WIDTHS:
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            boxes = [field.bounding_box() for field in shown(page, ".field").all()]
            assert all(box["width"] > 100 and abs(box["width"] - box["height"]) < 2 for box in boxes)
            photograph(page, f"maps-{width}-{scheme}-{index}")


def test_maps_of_a_group_stand_side_by_side_and_there_is_nothing_to_play(open_page, features_file):
    page = open_page(features_file)
    assert shown(page, ".map-group h4").count() == 2
    tops = [field.bounding_box()["y"] for field in shown(page, ".field").all()]
    assert tops == pytest.approx([tops[0]] * 3 + [tops[3]] * 3, abs=0.5) and tops[0] + 100 < tops[3]
    assert shown(page, ".stage, video, table.segments").count() == 0
    assert "segment" not in page.locator("header.top").inner_text()
    assert shown(page, ".bar.truth").count() == 2  # annotations are drawn all the same
    page.locator("nav a").nth(1).click()
    assert shown(page, ".timeline:visible").count() == 0


def test_what_was_not_asked_for_is_not_painted(open_page, features_file):
    page = open_page(features_file)
    target = shown(page, ".map:last-child canvas[role=img]").nth(1)  # in detail
    alpha = (
        "canvas => [...canvas.getContext('2d').getImageData(0, 0, 1, canvas.height).data].filter((_, i) => i % 4 == 3)"
    )
    column = target.evaluate(alpha)
    assert column == [255] * 15 + [0] * (len(column) - 15)  # rows up to 14 apart share a window


def test_the_pointer_is_told_the_values_of_all_columns_and_marked_in_each(open_page, features_file):
    page = open_page(features_file)
    field = shown(page, ".field").nth(3)
    field.hover(position={"x": 3, "y": 3})
    lines = page.locator(".tooltip").inner_text()
    assert "raw · made" in lines and "Target" in lines and lines.count("1.000") == 3
    assert shown(page, ".spot:visible").count() == 3  # of this group alone
    field.hover(position={"x": field.bounding_box()["width"] - 3, "y": 3})
    assert "no value" in page.locator(".tooltip").inner_text()
    page.mouse.move(2, 2)
    until(page, "document.querySelector('.tooltip').hidden")
    assert shown(page, ".spot:visible").count() == 0


def test_a_click_moves_the_same_moment_in_every_map_and_on_the_timeline(open_page, features_file):
    page = open_page(features_file)
    field = shown(page, ".field").first
    box = field.bounding_box()
    field.click(position={"x": box["width"] / 2, "y": box["height"] / 4})
    places = [line.evaluate("node => parseFloat(node.style.left)") for line in shown(page, ".down").all()]
    assert places[:3] == pytest.approx([50] * 3, abs=0.5)
    head = shown(page, ".playhead").evaluate("node => parseFloat(node.style.left)")
    assert head == pytest.approx(50, abs=0.5)


def test_annotated_boundaries_are_marked_where_they_are(open_page, features_file):
    page = open_page(features_file)
    centres = [
        mark.evaluate("m => (m.offsetLeft + m.offsetWidth / 2) / m.parentElement.clientWidth * 150")
        for mark in shown(page, ".map").first.locator(".corner").all()
    ]
    assert centres == pytest.approx([25, 50, 75, 100], abs=1)


@pytest.mark.parametrize("size", [PHONE, DESKTOP])
def test_the_chart_tells_its_values_under_the_pointer(open_page, features_file, size):
    page = open_page(features_file, size)
    assert page.locator(".chart-legend li").count() == 3
    field = page.locator(".chart-field")
    assert "the table has the values" in field.get_attribute("aria-label")
    field.hover(position={"x": 1, "y": 20})
    told = page.locator(".tooltip").inner_text()
    assert "seconds between two moments" in told and told.count("1.000") == 3
    cells = page.locator(".tables table tbody tr").first.locator("td").all_inner_texts()
    assert cells[0] == "raw · made" and len(cells) == 6


def test_the_chart_needs_no_script(browser, features_file):
    page = browser.new_page(java_script_enabled=False)
    page.goto(features_file.as_uri())
    assert page.locator(".chart-field path.curve:visible").count() == 3
    box = page.locator(".chart-field path.curve.wanted").bounding_box()
    field = page.locator(".chart-field").bounding_box()
    assert box["width"] == pytest.approx(field["width"] * 7 / 15, rel=0.1)  # the target ends with the window
    page.close()
