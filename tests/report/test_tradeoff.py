"""The page and the figure of accuracy against cost: points stand where their figures say, on axes that begin at 0."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from kinoscope.errors import OutputError
from kinoscope.report.tradeoff import Curve, Point, TradeoffPage, render_tradeoff_page, tradeoff_page, tradeoff_svg

from .conftest import HOSTILE, WIDTHS, photograph
from .test_html import Page, assert_nothing_runs

PARTS = {"decode": 0.25, "efficientnet-lite2, 224 px": 0.5}
ADAPTIVE = Curve(
    "AR-Net",
    [Point(10, 0.5, 0.6, 0.55, 0.65, "T = 8"), Point(20, 1.0, 0.7, 0.65, 0.75, "T = 16", {**PARTS, "policy": 0.25})],
)
UNIFORM = Curve("UNIFORM", [Point(40, 2.0, 0.68, 0.6, 0.7, "T = 16", {**PARTS, "decode": 1.5})])


@pytest.fixture(scope="module")
def plain() -> TradeoffPage:
    return TradeoffPage("AR-Net and its rivals", [ADAPTIVE, UNIFORM], settings={"command": "kinoscope bench arnet"})


@pytest.fixture(scope="module")
def hostile() -> TradeoffPage:
    point = Point(5, 0.1, 0.5, math.nan, math.nan, HOSTILE, {HOSTILE: 0.1})
    curves = [ADAPTIVE, Curve(HOSTILE, [point]), Curve("none", []), *[replace(UNIFORM, name=str(n)) for n in range(12)]]
    return TradeoffPage(HOSTILE, curves, (HOSTILE, HOSTILE), HOSTILE, HOSTILE, (HOSTILE,), {HOSTILE: HOSTILE})


def figures(page: TradeoffPage) -> list[str]:
    """The field of each chart."""
    return re.findall(r'<svg class="chart-field".*?(?=<svg class="chart-bottom)', render_tradeoff_page(page), re.S)


def test_points_and_intervals_stand_where_their_figures_say(plain: TradeoffPage) -> None:
    gmac, seconds = figures(plain)
    places = re.findall(r'<svg class="point" x="([\d.]+)%" y="([\d.]+)%">', gmac)
    # 0 to 40 across, 55 to 75 up; the first method is drawn last and lies on top
    assert [(float(x), float(y)) for x, y in places] == [(100, 35), (25, 75), (50, 25)]
    spans = re.findall(r'class="interval" x1="([\d.]+)%" y1="([\d.]+)%" x2="([\d.]+)%" y2="([\d.]+)%"', gmac)
    assert [tuple(map(float, span)) for span in spans][1:] == [(25, 100, 25, 50), (50, 50, 50, 0)]
    assert re.findall(r'class="curve" x1="([\d.]+)%"', gmac) == ["25.00"]
    assert re.findall(r'class="point" x="([\d.]+)%"', seconds) == ["100.00", "25.00", "50.00"]
    assert "<title>AR-Net · T = 16: Accuracy 70.0 % (65.0 – 75.0), 20.00 GMAC, 1.000 s</title>" in gmac


def test_bars_are_the_seconds_of_each_part_on_one_scale(plain: TradeoffPage) -> None:
    source = render_tradeoff_page(plain)
    bars = re.findall(r'<svg class="stack".*?</svg>', source)
    widths = [[float(width) for width in re.findall(r'width="([\d.]+)"', bar)] for bar in bars]
    assert widths == [pytest.approx([125, 250, 125]), pytest.approx([750, 250])]
    colours = [re.findall(r'rect class="([\w-]+)"', bar) for bar in bars]
    assert colours == [["part-0", "part-1", "part-2"], ["part-0", "part-1"]]


def test_every_figure_is_in_the_table(plain: TradeoffPage) -> None:
    cells = Page(render_tradeoff_page(plain)).content("td")
    assert cells == [
        *("10.00", "0.500", "60.0", "55.0 – 65.0"),
        *("20.00", "1.000", "70.0", "65.0 – 75.0"),
        *("40.00", "2.000", "68.0", "60.0 – 70.0"),
    ]


def test_hostile_text_stays_text_and_nothing_runs(hostile: TradeoffPage) -> None:
    source = render_tradeoff_page(hostile)
    assert_nothing_runs(source)
    assert not Page(source).all("img") and "</script><img src=x onerror=" in "".join(Page(source).content("bdi"))
    assert "\x00" not in source and "nan" not in source.lower()
    source.encode("utf-8")


@pytest.mark.parametrize(
    "curves",
    [
        [],
        [Curve("a", [])],
        [Curve("a", [Point(0, 0, 0, 0, 0)])],
        [Curve("a", [Point(math.nan, math.inf, math.nan, 0, 1, shares={"decode": math.nan})])],
    ],
)
def test_pages_of_nothing_are_written(tmp_path: Path, curves: list[Curve]) -> None:
    page = TradeoffPage("nothing", curves)
    tradeoff_page(tmp_path / "page.html", page)
    Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    tradeoff_svg(tmp_path / "figure.svg", page)
    assert "nan" not in (tmp_path / "figure.svg").read_text(encoding="utf-8").lower()


def test_the_figure_is_one_file_with_a_ground_of_its_own(
    tmp_path: Path, plain: TradeoffPage, hostile: TradeoffPage
) -> None:
    for page in (plain, hostile):
        tradeoff_svg(tmp_path / "figure.svg", page)
        source = (tmp_path / "figure.svg").read_text(encoding="utf-8")
        root = ElementTree.fromstring(source)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        ground = root.find("{*}rect")
        assert ground is not None and (ground.get("width"), ground.get("height")) == (f"{width:.0f}", f"{height:.0f}")
        assert "<script" not in source and "href" not in source and "url(" not in source
        assert source.count("Accuracy, %") == (2 if page is plain else 0)


def test_files_that_cannot_be_written_are_named(tmp_path: Path, plain: TradeoffPage) -> None:
    (tmp_path / "file").write_text("in the way")
    for write in (tradeoff_page, tradeoff_svg):
        with pytest.raises(OutputError, match="file"):
            write(tmp_path / "file" / "x", plain)


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_window(
    open_plain, plain: TradeoffPage, hostile: TradeoffPage, tmp_path: Path, scheme: str
) -> None:
    for name, content in (("plain", plain), ("hostile", hostile)):
        path = tmp_path / f"{name}.html"
        tradeoff_page(path, content)
        page = open_plain(path, scheme)
        page.locator("#settings summary").click()
        for width, height in WIDTHS:
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            field = page.locator(".chart-field").first.bounding_box()
            point = page.locator(".chart-field").first.locator(".point path").last.bounding_box()
            middle = (point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
            assert field["x"] < middle[0] < field["x"] + field["width"]
            assert 8 < point["width"] < 15 and point["width"] == pytest.approx(point["height"], abs=0.5)
            if content is plain:
                assert middle[0] == pytest.approx(field["x"] + field["width"] / 2, abs=1)
                assert middle[1] == pytest.approx(field["y"] + field["height"] / 4, abs=1.5)
            photograph(page, f"tradeoff-{name}-{width}-{scheme}")
