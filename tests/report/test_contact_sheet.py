"""The contact sheet: everything in one file, nothing that runs, links that lead to the videos, on every screen."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest

from kinoscope.errors import OutputError
from kinoscope.report.contact_sheet import ContactSheet, Still, render_contact_sheet, write_contact_sheet

from .conftest import HOSTILE, WIDTHS, Sample, photograph
from .test_html import Page, assert_nothing_runs


@pytest.fixture(scope="module")
def sheet(sample: Sample) -> ContactSheet:
    jpegs = [each.jpeg for each in sample.thumbnails]
    query = Still("query", 2.5, jpegs[2], sample.path, "at 2.5 s")
    found = [Still(f"video {n}", n, jpeg, sample.path, f"{n} – {n + 1}", 1 - 0.2 * n) for n, jpeg in enumerate(jpegs)]
    hostile = Still(HOSTILE, 1.0, jpegs[1], Path(HOSTILE.replace("/", "_").replace("\0", "")[:80]), HOSTILE, -0.5)
    found += [hostile, Still("gone", 3.0, similarity=0.1)]
    return ContactSheet(f"Moments most like {HOSTILE}", query, found, "moments", (HOSTILE,), {"command": HOSTILE})


@pytest.fixture(scope="module")
def source(sheet: ContactSheet) -> str:
    return render_contact_sheet(sheet)


def test_it_is_well_formed_and_hostile_text_stays_text(source: str) -> None:
    page = Page(source)
    assert len(page.all("img")) == 10 and len(page.all("li")) == 10 + 1  # and a note
    assert not [attrs for _, attrs in page.tags if any(name.startswith("on") for name in attrs)]
    assert "</script><img src=x onerror=" in "".join(page.content("bdi"))
    assert "\x00" not in source
    source.encode("utf-8")


def test_nothing_runs_and_nothing_is_loaded(source: str) -> None:
    assert_nothing_runs(source)


def test_links_lead_to_the_videos_at_their_moment(tmp_path: Path, sheet: ContactSheet, sample: Sample) -> None:
    target = tmp_path / "deep" / "sheet.html"
    write_contact_sheet(target, sheet)
    links = [attrs["href"] for attrs in Page(target.read_text(encoding="utf-8")).all("a")]
    assert len(links) == 10  # the query, eight results and the hostile one; what has no file has no link
    assert links[0].endswith("#t=2.50") and links[3].endswith("#t=2.00")
    for link in links[:9]:
        assert (target.parent / unquote(link.partition("#")[0])).resolve() == sample.path.resolve()
    assert all(link.startswith("./") for link in links)  # no scheme, whatever the names are


def test_what_cannot_be_shown_is_told(source: str) -> None:
    assert source.count("no picture") == 1 and "-0.500" in source
    empty = render_contact_sheet(ContactSheet("none", Still("q", 0.0), []))
    assert "Nothing was found." in empty
    Page(empty)


def test_a_sheet_that_cannot_be_written_names_its_file(tmp_path: Path, sheet: ContactSheet) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        write_contact_sheet(tmp_path / "file" / "sheet.html", sheet)


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_window(open_plain, sheet: ContactSheet, tmp_path: Path, scheme: str) -> None:
    path = tmp_path / "sheet.html"
    write_contact_sheet(path, sheet)
    page = open_plain(path, scheme)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "A"
    page.locator("#settings summary").click()
    for width, height in WIDTHS:
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        boxes = [item.bounding_box() for item in page.locator(".sheet li").all()]
        assert len({box["y"] for box in boxes}) < len(boxes), "several stand side by side"
        photograph(page, f"sheet-{width}-{scheme}")
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    page.emulate_media(media="print")
    assert page.locator("#settings:visible").count() == 0 and page.locator(".still:visible").count() == 11
