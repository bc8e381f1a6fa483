"""The page of what was recognised: nothing runs, links lead to the videos, it fits every window."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from kinoscope.errors import OutputError
from kinoscope.report.recognition import (
    Look,
    RecognitionPage,
    VideoPage,
    render_recognition_page,
    write_recognition_page,
)

from .conftest import HOSTILE, WIDTHS, Sample, photograph
from .test_html import Page, assert_nothing_runs


def looks(sample: Sample, tokens: int, clips: int = 1, layers: int = 1, attention: bool = True) -> list[Look]:
    """Clips of two seconds that overlap by half."""
    drawn = []
    for start in range(clips):
        edges = np.linspace(start, start + 2, tokens + 1).tolist()
        weights = np.random.default_rng(start).dirichlet(np.full(tokens + 1, 0.7), size=(layers, 8))[..., 1:]
        pictures = [sample.thumbnails[n % len(sample.thumbnails)].jpeg for n in range(tokens)]
        spans = list(pairwise(edges))
        drawn.append(Look(start, start + 2, spans, pictures, weights if attention else None, answers=[(HOSTILE, 0.5)]))
    return drawn


@pytest.fixture(scope="module")
def recognised(sample: Sample) -> RecognitionPage:
    answers = [("jump", 0.75), ("שלום 🎬", 0.2), ("<script>", float("nan"))]
    one = looks(sample, 1)[0]
    videos = [
        VideoPage("some video", sample.path, answers, looks(sample, 8)),
        VideoPage("long", sample.path, answers, looks(sample, 4, clips=6), "The file is damaged."),
        VideoPage("32 tokens, 2 layers", None, answers, looks(sample, 32, layers=2)),
        VideoPage("no attention", None, answers, looks(sample, 4, attention=False)),
        VideoPage("one token", None, answers, [replace(one, pictures=[None])]),
        VideoPage(HOSTILE, Path(HOSTILE.replace("/", "_").replace("\0", "")[:80]), [(HOSTILE, 1.0)], (), HOSTILE),
        VideoPage("nothing", None),
    ]
    return RecognitionPage(f"Seen by {HOSTILE}", videos, (HOSTILE,), {"command": HOSTILE})


@pytest.fixture(scope="module")
def source(recognised: RecognitionPage) -> str:
    return render_recognition_page(recognised)


def test_it_is_well_formed_and_hostile_text_stays_text(source: str) -> None:
    page = Page(source)
    assert len(page.all("section")) == 7 and len(page.all("details")) == 1 + 6 + 1 + 1 + 1 + 1
    assert len(page.all("img")) == 8 + 6 * 4 + 32 + 4
    assert "</script><img src=x onerror=" in "".join(page.content("bdi"))
    assert "\x00" not in source and ">nan<" not in source
    source.encode("utf-8")


def test_nothing_runs_and_nothing_is_loaded(source: str) -> None:
    assert_nothing_runs(source)


def test_links_lead_to_the_videos_where_the_first_clip_begins(
    tmp_path: Path, recognised: RecognitionPage, sample: Sample
) -> None:
    target = tmp_path / "deep" / "look.html"
    write_recognition_page(target, recognised)
    links = [attrs["href"] for attrs in Page(target.read_text(encoding="utf-8")).all("a")]
    files = [link for link in links if not link.startswith("#")]
    assert len(files) == 3 and files[0].endswith("#t=0.00") and all(link.startswith("./") for link in files)
    assert (target.parent / unquote(files[0].partition("#")[0])).resolve() == sample.path.resolve()
    ids = {attrs["id"] for _, attrs in Page(target.read_text(encoding="utf-8")).tags if "id" in attrs}
    assert {link[1:] for link in links if link.startswith("#")} <= ids


def test_only_the_first_clips_of_many_are_unfolded(source: str) -> None:
    unfolded = [attrs["id"] for attrs in Page(source).all("details") if "open" in attrs]
    assert [name for name in unfolded if name.startswith("look-2-")] == ["look-2-1", "look-2-2", "look-2-3"]


def test_what_is_not_there_is_told(source: str) -> None:
    assert source.count("no clip shown") == 2 and source.count("No answer.") == 1
    empty = render_recognition_page(RecognitionPage("none", []))
    assert "No video was recognised." in empty and "class token" not in empty
    Page(empty)


def test_a_page_that_cannot_be_written_names_its_file(tmp_path: Path, recognised: RecognitionPage) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        write_recognition_page(tmp_path / "file" / "look.html", recognised)


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_window_and_bars_stand_under_their_pictures(
    open_plain, recognised: RecognitionPage, tmp_path: Path, scheme: str
) -> None:
    path = tmp_path / "look.html"
    write_recognition_page(path, recognised)
    page = open_plain(path, scheme)
    for width, height in WIDTHS:
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        strip = page.locator("#look-1-1")
        pictures = [box.bounding_box() for box in strip.locator(".moment img").all()]
        bars = [box.bounding_box() for box in strip.locator(".bars rect").all()]
        cells = [box.bounding_box() for box in strip.locator(".heat rect").all()[:8]]
        assert len(pictures) == len(bars) == len(cells) == 8
        for picture, bar, cell in zip(pictures, bars, cells, strict=True):
            middle = picture["x"] + picture["width"] / 2
            assert bar["x"] + bar["width"] / 2 == pytest.approx(middle, abs=1.5)
            assert cell["x"] + cell["width"] / 2 == pytest.approx(middle, abs=1.5)
            assert bar["y"] > picture["y"] + picture["height"]
        photograph(page, f"look-{width}-{scheme}")
    page.locator(".overview a").last.click()  # leads to a clip that is folded
    assert page.evaluate("location.hash") == "#look-2-6"
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
