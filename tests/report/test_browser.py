"""The report as people see it: drawn by a headless Chromium, clicked, and played."""

import pytest

from kinoscope.data.segments import Segment
from kinoscope.report import Report, VideoPage, write_report

from .conftest import DESKTOP, HOSTILE, PHONE, SECONDS, WIDTHS, photograph, shown, until

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report_file(full_report, tmp_path_factory):
    path = tmp_path_factory.mktemp("browser") / "report.html"
    write_report(path, full_report)
    return path


def video_time(page):
    return page.evaluate("document.querySelector('video').currentTime")


def wait_for_video(page):
    until(page, "document.querySelector('video')?.readyState >= 2")


def share_of(page, bar):
    """Left edge and width of a bar as shares of its track."""
    return page.evaluate(
        "bar => { const b = bar.getBoundingClientRect(), t = bar.parentElement.getBoundingClientRect();"
        " return [(b.left - t.left) / t.width, b.width / t.width]; }",
        bar.element_handle(),
    )


@pytest.mark.parametrize("size", [PHONE, DESKTOP])
def test_bars_stand_where_their_times_are(open_page, report_file, full_page, size):
    page = open_page(report_file, size)
    assert shown(page, ".bar.prediction").count() == len(full_page.segments)
    assert shown(page, ".bar.truth").count() == len(full_page.truth)
    for kind, segments in (("prediction", full_page.segments), ("truth", full_page.truth)):
        for segment in segments:
            start = f"0:{segment.start:05.2f}"
            left, width = share_of(page, shown(page, f'.bar.{kind}[aria-label^="{segment.label}, {start}"]'))
            assert left == pytest.approx(segment.start / SECONDS, abs=0.005)
            assert width == pytest.approx(segment.duration / SECONDS, abs=0.005)
    # the two overlapping runs have lanes of their own, and the truth lies above its prediction
    boxes = [bar.bounding_box() for bar in shown(page, ".bar.prediction[aria-label^=run]").all()]
    assert boxes[0]["y"] >= boxes[1]["y"] + boxes[1]["height"] or boxes[1]["y"] >= boxes[0]["y"] + boxes[0]["height"]
    truth, jump = (shown(page, f".bar.{kind}[aria-label^=jump]").bounding_box() for kind in ("truth", "prediction"))
    assert truth["y"] + truth["height"] <= jump["y"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_its_window(open_page, report_file, scheme):
    page = open_page(report_file, scheme=scheme)
    page.locator("#settings summary").click()
    for index in range(3):
        page.locator("nav a").nth(index).click()
        for summary in shown(page, "details summary").all():
            summary.click()
        for width, height in WIDTHS:
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            photograph(page, f"{width}-{scheme}-{index}")


def test_a_click_on_a_bar_plays_its_segment_and_a_second_click_pauses(open_page, report_file):
    page = open_page(report_file)
    wait_for_video(page)
    page.evaluate("document.querySelector('video').playbackRate = 0.1")  # the next segment is far, however slow we are
    bar = shown(page, ".bar.prediction[aria-label^=jump]")
    bar.click()
    until(page, "document.querySelector('video').currentTime > 2.01")
    assert 2.0 <= video_time(page) < 2.9
    assert "active" in bar.get_attribute("class")
    assert shown(page, ".bar.active.prediction").count() == 1
    assert shown(page, "table.segments tr.active").count() == 1
    assert "jump" in shown(page, ".now").inner_text()
    bar.click()
    assert page.evaluate("document.querySelector('video').paused")


def test_the_play_head_follows_the_playing_video(open_page, report_file):
    page = open_page(report_file)
    wait_for_video(page)
    place = "parseFloat(document.querySelector('.playhead').style.left)"
    assert page.evaluate(place) == 0
    page.evaluate("document.querySelector('video').play()")
    until(page, f"{place} > 3")
    page.evaluate("document.querySelector('video').pause()")
    page.wait_for_timeout(100)
    assert page.evaluate(place) == pytest.approx(video_time(page) / SECONDS * 100, abs=0.1)


@pytest.mark.parametrize("place", [".ruler", ".track.film", ".track.plot", ".row:nth-child(3) .bars"])
def test_a_click_anywhere_on_the_timeline_seeks_and_does_not_play(open_page, report_file, place):
    page = open_page(report_file)
    wait_for_video(page)
    track = shown(page, place).first
    box = track.bounding_box()
    track.click(position={"x": box["width"] * 0.1, "y": box["height"] / 2})
    assert video_time(page) == pytest.approx(0.1 * SECONDS, abs=0.05)
    assert page.evaluate("document.querySelector('video').paused")


def test_the_keyboard_reaches_everything(open_page, report_file):
    page = open_page(report_file)
    wait_for_video(page)
    ruler = shown(page, ".ruler")
    ruler.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert video_time(page) == pytest.approx(2, abs=0.01)
    until(page, "document.querySelector('.ruler').getAttribute('aria-valuetext') === '0:02.00'")  # told by an event
    page.keyboard.press("Tab")  # one stop for all bars
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "jump, 0:02.00 – 0:04.00, score 0.900"
    assert "0:02.00 – 0:04.00" in page.locator(".tooltip").inner_text()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    until(page, "!document.querySelector('video').paused")
    assert video_time(page) >= 3


def test_curves_are_drawn_with_their_gaps_and_can_be_switched_off(open_page, report_file):
    page = open_page(report_file)
    paths = shown(page, "path.curve")
    assert paths.count() == 2
    commands = sorted(path.get_attribute("d").count("M") for path in paths.all())
    assert commands == [1, 2]  # the NaN of one curve parts it
    box, plot = (shown(page, selector).first.bounding_box() for selector in ("path.curve", ".plot"))
    assert box["width"] == pytest.approx(plot["width"] * 7.75 / SECONDS, rel=0.02)
    shown(page, ".legend button").first.click()
    assert shown(page, "path.curve:visible").count() == 1


def test_maps_are_drawn_and_a_click_on_one_seeks(open_page, report_file):
    page = open_page(report_file)
    wait_for_video(page)
    fields = shown(page, ".field")
    assert fields.count() == 2
    colours = (
        "canvas => new Set(new Uint32Array(canvas.getContext('2d')"
        ".getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size"
    )
    for canvas in shown(page, ".field canvas").all():
        assert canvas.evaluate(colours) > 20
    box = fields.first.bounding_box()
    fields.first.click(position={"x": box["width"] * 0.5, "y": box["height"] * 0.1})
    assert video_time(page) == pytest.approx(SECONDS / 2, abs=0.3)
    ticks = [int(tick.split(":")[1]) for tick in shown(page, ".bottom").first.locator("span").all_inner_texts()]
    assert ticks[0] == 0 and len(ticks) >= 4 and ticks == sorted(set(ticks))


def test_tables_sort_and_their_rows_seek(open_page, report_file):
    page = open_page(report_file)
    wait_for_video(page)
    labels = lambda: shown(page, "table.segments tbody td:last-child").all_inner_texts()  # noqa: E731
    assert labels() == ["0.900", "0.500", "0.250"]
    shown(
        page,
        "table.segments th button",
    ).last.click()
    assert labels() == ["0.250", "0.500", "0.900"]
    shown(page, "table.segments tbody tr").nth(1).click()
    until(page, "document.querySelector('video').currentTime >= 5")


def test_a_video_that_browsers_cannot_play_shows_its_thumbnails(open_page, report_file):
    page = open_page(report_file)
    page.locator("nav a").nth(1).click()
    assert shown(page, "video").count() == 0
    assert "Browsers cannot play “.avi” files." in shown(page, ".reason").inner_text()
    before = shown(page, ".still img").get_attribute("src")
    box = shown(page, ".ruler").bounding_box()
    shown(page, ".ruler").click(position={"x": box["width"] * 0.75, "y": 5})
    assert shown(page, ".still img").get_attribute("src") != before
    assert shown(page, ".still img").get_attribute("alt") == "Frame at 0:06.00"
    shown(page, ".controls .play").click()
    until(page, "[...document.querySelectorAll('.playhead')].some(head => parseFloat(head.style.left) > 75.5)")
    shown(page, ".bar").click()
    page.wait_for_timeout(100)
    assert shown(page, ".bar.active").count() == 1


def test_a_codec_that_the_browser_refuses_falls_back_too(open_page, sample, tmp_path):
    segments = (Segment(2, 3, "a", 0.5),)
    pages = [VideoPage("broken", SECONDS, segments, media=b"not a video at all", thumbnails=sample.thumbnails)]
    write_report(tmp_path / "r.html", Report("r", pages))
    page = open_page(tmp_path / "r.html")
    page.wait_for_selector(".reason")
    assert "cannot play the format" in page.locator(".reason").inner_text()
    page.locator(".bar").click()
    assert page.locator(".still img").get_attribute("alt") == "Frame at 0:02.00"


def test_a_linked_video_plays(open_page, sample, tmp_path):
    write_report(tmp_path / "r.html", Report("r", (VideoPage("v", SECONDS, (), media=sample.path),)), embed_limit=0)
    page = open_page(tmp_path / "r.html")
    wait_for_video(page)
    assert "a b#1.mp4" in page.locator(".notes").inner_text()


def test_without_a_script_the_tables_are_there(browser, report_file, full_page):
    page = browser.new_page(viewport={"width": PHONE[0], "height": PHONE[1]}, java_script_enabled=False)
    page.goto(report_file.as_uri())
    assert page.locator("section.page:visible").count() == 3
    assert page.locator("#video-1 table.segments tr:visible").count() == 1 + len(full_page.segments)
    assert page.locator("noscript").is_visible()
    page.close()


def test_a_hostile_name_is_shown_and_not_run(open_page, report_file):
    page = open_page(report_file, PHONE)
    page.locator("nav a").nth(2).click()
    assert HOSTILE[:40] in shown(page, "h2").inner_text()
    assert HOSTILE[:40] in shown(page, ".row .name").first.inner_text()
    assert page.title() != "owned"
    assert page.locator("img:not([src^='data:image/'])").count() == 0
    shown(page, ".bar").last.hover()
    assert HOSTILE[:40] in page.locator(".tooltip").inner_text()


def test_an_hour_with_thousands_of_segments_can_be_zoomed(open_page, tmp_path):
    segments = [
        Segment(index * 1.8, index * 1.8 + 1.5, f"label {index % 10}", (index % 97) / 97) for index in range(2000)
    ]
    write_report(tmp_path / "r.html", Report("r", (VideoPage("hour", 3600, segments),)))
    page = open_page(tmp_path / "r.html")
    assert page.locator(".bar").count() == 2000
    assert page.locator(".row .bars").count() == 10
    before = page.locator(".ruler").bounding_box()["width"]
    for _ in range(4):
        page.get_by_role("button", name="Zoom in").click()
    assert page.locator(".ruler").bounding_box()["width"] == pytest.approx(16 * before, rel=0.01)
    assert page.evaluate("document.documentElement.scrollWidth") <= DESKTOP[0]
    page.locator(".bar").nth(1000).evaluate("bar => bar.click()")
    page.wait_for_timeout(100)
    assert page.locator(".bar.active").count() == 1
    page.get_by_role("button", name="Show the whole video").click()
    assert page.locator(".ruler").bounding_box()["width"] == pytest.approx(before, rel=0.01)


def test_a_zoomed_timeline_follows_the_play_head_but_not_against_the_user(open_page, report_file):
    page = open_page(report_file)
    wait_for_video(page)
    for _ in range(3):
        page.get_by_role("button", name="Zoom in").click()
    scrolled = "document.querySelector('.scroller').scrollLeft"
    page.evaluate("document.querySelector('video').play()")
    until(page, f"{scrolled} > 100")
    page.evaluate(f"{scrolled} = 0")
    page.wait_for_timeout(500)
    assert page.evaluate(scrolled) == 0
