"""The page of what AR-Net did: pictures as large as what was classified, costs that add up, nothing runs, it fits."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest

from kinoscope.errors import OutputError
from kinoscope.report.adaptive import (
    AdaptivePage,
    AdaptiveVideo,
    CostRow,
    FrameChoice,
    render_adaptive_page,
    write_adaptive_page,
)

from .conftest import HOSTILE, WIDTHS, Sample, photograph
from .test_html import Page, assert_nothing_runs

SIZES = (224, 168, 112, 84)
COSTS = (
    CostRow("decode", 3, 0.0, 0.3),
    CostRow("policy, 84 px", 3, 0.25, 0.06, 84),
    CostRow("efficientnet-lite2, 224 px", 1, 1.75, 0.04, 224),
)


def choices(sample: Sample, plan: list[int | None], answers: list[tuple[str, float]]) -> list[FrameChoice]:
    """A frame each half second: a size, 0 for skipped after a look, None for never decoded."""
    drawn = []
    for n, size in enumerate(plan):
        picture = sample.thumbnails[n % len(sample.thumbnails)].jpeg if size is not None else None
        drawn.append(FrameChoice(n / 2, size or None, size is not None, picture, answers if size else (), "skips 2"))
    return drawn


@pytest.fixture(scope="module")
def looked(sample: Sample) -> AdaptivePage:
    answers = [("jump", 0.75), ("שלום 🎬", 0.2), ("<script>", float("nan"))]
    plan: list[int | None] = [84, 224, 168, 112, 0, None, 84, None]
    some = AdaptiveVideo("some video", sample.path, answers, choices(sample, plan, answers), COSTS, SIZES, 10.0, 0.5)
    bare = [replace(choice, picture=None) for choice in some.choices]
    hostile = [replace(choice, answers=[(HOSTILE, 1.0)], reason=HOSTILE) for choice in some.choices]
    file = Path(HOSTILE.replace("/", "_").replace("\0", "")[:80])
    videos = [
        some,
        replace(some, name="64 frames", choices=choices(sample, plan * 8, [("run", 0.5)]), note="Few frames."),
        replace(some, name="all skipped", choices=choices(sample, [0, None, 0], []), answers=[]),
        replace(some, name="one frame", choices=some.choices[1:2]),
        replace(some, name="no pictures", path=None, choices=bare),
        replace(some, name=HOSTILE, path=file, choices=hostile, costs=[CostRow(HOSTILE, 1, 1, 1)], note=HOSTILE),
        AdaptiveVideo("empty", None, [], [], [], [], 0.0, 0.0),
    ]
    return AdaptivePage(f"Seen by {HOSTILE}", videos, (HOSTILE,), {"command": HOSTILE})


@pytest.fixture(scope="module")
def source(looked: AdaptivePage) -> str:
    return render_adaptive_page(looked)


def alone(video: AdaptiveVideo) -> str:
    return render_adaptive_page(AdaptivePage("one", [video]))


def test_it_is_well_formed_and_hostile_text_stays_text(source: str) -> None:
    page = Page(source)
    assert len(page.all("section")) == 7 and len(page.all("ol")) == 6
    assert len(page.all("img")) == 6 + 8 * 6 + 2 + 1 + 0 + 6
    assert "</script><img src=x onerror=" in "".join(page.content("bdi"))
    assert "\x00" not in source and ">nan<" not in source
    source.encode("utf-8")


def test_nothing_runs_and_nothing_is_loaded(source: str) -> None:
    assert_nothing_runs(source)


def test_each_frame_says_what_became_of_it(looked: AdaptivePage) -> None:
    source = alone(looked.videos[0])
    told = re.findall(r'<p class="choice">(.*?)</p>', source)
    assert told == ["84 px", "224 px", "168 px", "112 px", "skipped", "not seen", "84 px", "not seen"]
    names = [attrs.get("alt") or attrs["aria-label"] for _, attrs in Page(source).tags if "side-" in str(attrs)]
    assert names == [f"some video at 0:0{n / 2:.2f}, {choice}" for n, choice in enumerate(told)]
    titles = [attrs["title"] for attrs in Page(source).all("li") if "title" in attrs]
    assert titles[1] == "0:00.50 · 224 px · skips 2 · jump 0.750; שלום 🎬 0.200; <script> –"
    counts = re.findall(r"</i>([\w ]+) <b>× (\d+)</b>", source)
    wanted = [("224 px", 1), ("168 px", 1), ("112 px", 1), ("84 px", 2), ("skipped", 1), ("not seen", 2)]
    assert counts == [(name, str(count)) for name, count in wanted]


def test_costs_add_up_and_what_they_do_not_explain_is_the_rest(looked: AdaptivePage) -> None:
    source = alone(looked.videos[0])
    line = "<b>2.00</b> of 10.00 GMAC that looking at every frame at 224 px would take (<b>20 %</b>)"
    assert line in source
    cells = Page(source).content("td")
    assert cells[-7:] == ["–", "0.00", "0.100", "20 %", "2.00", "0.500", "100 %"]
    times, work = re.findall(r'<svg class="stack".*?</svg>', source)
    widths = [float(width) for width in re.findall(r'width="([\d.]+)"', times)]
    assert widths == pytest.approx([600, 120, 80, 200]) and "part-rest" in times
    assert [float(width) for width in re.findall(r'width="([\d.]+)"', work)] == pytest.approx([25, 175])
    explained = alone(replace(looked.videos[0], seconds=0.4))
    assert "the rest" not in explained


def test_a_bar_is_grey_until_the_answer_is_the_final_one(looked: AdaptivePage) -> None:
    early = [replace(choice, answers=[("run", 0.4)]) for choice in looked.videos[0].choices[:2]]
    source = alone(replace(looked.videos[0], choices=[*early, *looked.videos[0].choices[2:4]]))
    assert re.findall(r'<div class="running"><svg class="share (\w*)"', source) == ["other", "other", "", ""]


def test_numbers_that_are_none_are_drawn_as_nothing(looked: AdaptivePage) -> None:
    costs = [CostRow("decode", 3, math.nan, math.nan), CostRow("policy", 3, 0.0, 0.0)]
    source = alone(replace(looked.videos[0], costs=costs, seconds=math.nan, dense_gmac=math.nan))
    Page(source)
    assert "nan" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", source).lower()


def test_names_and_times_lead_to_the_video(tmp_path: Path, looked: AdaptivePage, sample: Sample) -> None:
    target = tmp_path / "deep" / "look.html"
    write_adaptive_page(target, replace(looked, videos=[looked.videos[0], looked.videos[4]]))
    links = [attrs["href"] for attrs in Page(target.read_text(encoding="utf-8")).all("a")]
    assert [link.partition("#")[2] for link in links] == ["t=0.00"] + [f"t={n / 2:.2f}" for n in range(8)]
    assert (target.parent / unquote(links[0].partition("#")[0])).resolve() == sample.path.resolve()


def test_what_is_not_there_is_told(source: str) -> None:
    assert source.count("no frame shown") == 1 and source.count("No answer.") == 2
    empty = render_adaptive_page(AdaptivePage("none", []))
    assert "No video was recognised." in empty and "picture" not in Page(empty).content("p")
    Page(empty)


def test_a_side_that_the_model_does_not_have_is_refused(looked: AdaptivePage) -> None:
    with pytest.raises(ValueError, match="96 px, but the model's are 224, 168, 112, 84"):
        replace(looked.videos[0], choices=[FrameChoice(0.0, 96, True, None)])


def test_a_page_that_cannot_be_written_names_its_file(tmp_path: Path, looked: AdaptivePage) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        write_adaptive_page(tmp_path / "file" / "look.html", looked)


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_window_and_pictures_are_as_large_as_their_sides(
    open_plain, looked: AdaptivePage, tmp_path: Path, scheme: str
) -> None:
    path = tmp_path / "look.html"
    write_adaptive_page(path, looked)
    page = open_plain(path, scheme)
    page.locator("#settings summary").click()
    for width, height in WIDTHS:
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        shots = [box.bounding_box() for box in page.locator(".frames").first.locator(".shot > *").all()]
        largest = shots[1]["width"]
        assert 60 < largest < 160
        for shot, side in zip(shots, [84, 224, 168, 112, 84, 84, 84, 84], strict=True):
            assert shot["width"] == pytest.approx(largest * side / 224, abs=1)
            assert shot["height"] == pytest.approx(shot["width"], abs=1)
        feet = [shot["y"] + shot["height"] for shot in shots[:4]]  # one row in every window
        assert feet == pytest.approx([feet[0]] * 4, abs=1)
        photograph(page, f"adaptive-{width}-{scheme}")
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
