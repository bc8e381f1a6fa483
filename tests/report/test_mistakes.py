"""The page of mistakes: the surest first, what is right but barely, and pictures only of what is shown."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from kinoscope.evaluate import ClipScores
from kinoscope.report.mistakes import MistakesPage, render_mistakes_page, write_mistakes_page
from kinoscope.report.training import training_charts

from .conftest import HOSTILE, WIDTHS, Sample, photograph
from .test_html import Page, assert_nothing_runs

LABELS = ("push", "hug", HOSTILE, "שלום 🎬", "<script>alert(1)</script>", "a b")


def scores(videos: int, classes: tuple[str, ...], seed: int = 0, strength: float = 1.5) -> ClipScores:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(classes), videos)
    powers = np.exp(rng.normal(size=(videos, len(classes))) + strength * np.eye(len(classes))[truth])
    return ClipScores(powers / powers.sum(axis=1, keepdims=True), truth, classes)


def names_shown(source: str) -> list[str]:
    return re.findall(r'<li class="card">.*?<h3><bdi>(.*?)</bdi></h3>', source)


@pytest.fixture(scope="module")
def mistakes(sample: Sample) -> MistakesPage:
    epochs = [{"kind": "validation", "step": n, "epoch": n, "loss": 2 - 0.1 * n, "top1": 0.05 * n} for n in range(9)]
    return MistakesPage(
        f"Mistakes of {HOSTILE}",
        [HOSTILE, *(f"video {n}" for n in range(1, 40))],
        scores(40, LABELS),
        lambda number: sample.thumbnails[: number % 5],
        [sample.path if number % 3 else None for number in range(40)],
        charts=training_charts(epochs),
        notes=(HOSTILE,),
        settings={"command": HOSTILE},
    )


@pytest.fixture(scope="module")
def source(mistakes: MistakesPage) -> str:
    return render_mistakes_page(mistakes)


def test_it_is_well_formed_and_nothing_runs(source: str) -> None:
    page = Page(source)
    assert len(page.all("figure")) == 2 and "\x00" not in source
    assert "</script><img src=x onerror=" in "".join(page.content("bdi"))
    assert_nothing_runs(source)
    source.encode("utf-8")


def test_mistakes_come_by_how_sure_they_were() -> None:
    held_out = scores(60, ("a", "b", "c"))
    names = [str(number) for number in range(60)]
    asked: list[int] = []
    page = MistakesPage("m", names, held_out, lambda number: asked.append(number) or (), most=7)
    slow = []
    for number, (row, truth) in enumerate(zip(held_out.probabilities, held_out.labels, strict=True)):
        if row.argmax() != truth:
            slow.append((-max(row), number))
    wanted = [str(number) for _, number in sorted(slow)]
    assert len(wanted) > 7
    source = render_mistakes_page(page)
    assert names_shown(source) == wanted[:7]
    assert [str(number) for number in asked] == wanted[:7]  # pictures of what is shown, and of nothing else
    assert f"The 7 surest of {len(wanted)}." in source
    assert f"{100 * held_out.accuracy():.1f} %" in source


def test_a_mistake_tells_answer_truth_and_both_probabilities() -> None:
    held_out = ClipScores(np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1]]), np.array([2, 0]), ("a", "b", "c"))
    source = render_mistakes_page(MistakesPage("m", ["wrong", "right"], held_out, lambda number: ()))
    told = re.findall(r'<th scope="row">(answer|truth)</th><td><bdi>(\w)</bdi></td>.*?class="num">([\d.]+)<', source)
    assert told == [("answer", "a", "0.700"), ("truth", "c", "0.100")]
    assert "The truth was answer 3." in source and "no picture" in source
    assert "no picture" not in render_mistakes_page(MistakesPage("m", ["wrong", "right"], held_out))
    barely = source[source.index("Right, but barely") :]
    assert re.findall(r"<bdi>(\w+)</bdi>", barely) == ["right", "a", "b"]
    assert "0.600" in barely and "0.300" in barely


def test_without_any_mistake_it_says_so() -> None:
    held_out = ClipScores(np.eye(3), np.arange(3), ("a", "b", "c"))
    source = render_mistakes_page(MistakesPage("m", ["x", "y", "z"], held_out))
    Page(source)
    assert "No mistake: all 3 videos were answered right." in source
    assert "– 100.0 %" in source and "100.0 – 100.0" not in source
    assert "Confused most" not in source


@pytest.mark.parametrize(("videos", "count"), [(0, 3), (1, 1), (1, 2), (900, 400)])
def test_few_videos_and_many_classes(videos: int, count: int) -> None:
    classes = tuple(f"class {k}" for k in range(count))
    page = MistakesPage("m", [f"v{n}" for n in range(videos)], scores(videos, classes), most=5)
    source = render_mistakes_page(page)
    Page(source)
    assert "nan" not in re.sub(r"<style>.*?</style>", "", source, flags=re.S).lower()
    assert ("nothing to be wrong about" in source) == (videos == 0)


def test_links_lead_to_the_videos(tmp_path: Path, mistakes: MistakesPage, sample: Sample) -> None:
    target = tmp_path / "deep" / "mistakes.html"
    write_mistakes_page(target, mistakes)
    links = [attrs["href"] for attrs in Page(target.read_text(encoding="utf-8")).all("a")]
    files = [link for link in links if not link.startswith("#")]
    assert files and "#mistakes" in links
    assert all((target.parent / unquote(link)).resolve() == sample.path.resolve() for link in files)


def test_names_and_scores_must_meet() -> None:
    with pytest.raises(ValueError, match="1 names and 0 paths for 2 scored videos"):
        MistakesPage("m", ["x"], ClipScores(np.eye(2), np.arange(2), ("a", "b")))


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("count", [6, 40, 400])
def test_it_fits_every_window(open_plain, mistakes: MistakesPage, tmp_path: Path, scheme: str, count: int) -> None:
    path = tmp_path / "mistakes.html"
    classes = tuple(f"class of many words {k}" for k in range(count))
    shown = mistakes if count == 6 else MistakesPage("m", ["v"] * 900, scores(900, classes, strength=5), most=6)
    write_mistakes_page(path, shown)
    page = open_plain(path, scheme)
    for width, height in WIDTHS:
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        photograph(page, f"mistakes-{count}-{width}-{scheme}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "#mistakes"
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
