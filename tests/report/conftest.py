"""A small real video with its thumbnails, a report that uses every part of a page, and a browser to look at it."""

from __future__ import annotations

import io
import math
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest

from kinoscope.data.segments import Segment
from kinoscope.report import Curve, Report, Table, Thumbnail, VideoPage, similarity_map

SECONDS, RATE, WIDTH, HEIGHT = 8, 10, 160, 90
HOSTILE = (
    "</script><img src=x onerror=\"document.title='owned'\"><!-- ' & \u2028 \u202eRTL\u202c 🎬 עברית \x00 \udc80 "
    + "long" * 60
)


class Sample(NamedTuple):
    path: Path
    thumbnails: tuple[Thumbnail, ...]


def frame(time: float) -> np.ndarray:
    """A picture that tells its time by the place of a bright block. Shape: [H, W, 3]."""
    picture = np.full((HEIGHT, WIDTH, 3), (40, 70, 110), dtype=np.uint8)
    left = int((WIDTH - 20) * time / SECONDS)
    picture[30:60, left : left + 20] = 240
    return picture


def jpeg(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mjpeg") as container:
        stream = container.add_stream("mjpeg", rate=1)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuvj420p"
        image = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuvj420p")
        container.mux([*stream.encode(image), *stream.encode()])
    return buffer.getvalue()


def write_video(path: Path, codec: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(SECONDS * RATE):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame(index / RATE), format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    path = write_video(tmp_path_factory.mktemp("report") / "a b#1.mp4", "libx264")
    return Sample(path, tuple(Thumbnail(float(time), jpeg(frame(time))) for time in range(SECONDS)))


@pytest.fixture(scope="session")
def full_page(sample: Sample) -> VideoPage:
    times = np.arange(0, SECONDS, 0.25)
    rise = [math.exp(-((time - 2.5) ** 2)) for time in times]
    late = [math.nan if 3 < time < 4 else 0.5 + 0.4 * math.sin(time) for time in times]
    features = np.random.default_rng(0).normal(size=(len(times), 8)) + np.sign(np.sin(times))[:, None]
    maps = (
        similarity_map(features, times.tolist(), "raw"),
        similarity_map(features[::-1], times.tolist(), "after SoLa"),
    )
    segments = (Segment(2.0, 4.0, "jump", 0.9), Segment(5.0, 6.0, "run", 0.5), Segment(3.0, 7.0, "run", 0.25))
    truth = (Segment(1.5, 4.0, "jump"), Segment(6.5, 7.5, "fall"))
    curves = (Curve("jump", times.tolist(), rise), Curve("run", times.tolist(), late))
    return VideoPage(
        "some/video", SECONDS, segments, truth, curves, maps, sample.path, None, sample.thumbnails, ("Damage",)
    )


@pytest.fixture(scope="session")
def full_report(full_page: VideoPage, tmp_path_factory: pytest.TempPathFactory, sample: Sample) -> Report:
    old = write_video(tmp_path_factory.mktemp("old") / "old.avi", "mpeg4")
    pictures = VideoPage("old", SECONDS, (Segment(1, 3, "jump", 0.8),), media=old, thumbnails=sample.thumbnails)
    hostile = VideoPage(
        HOSTILE,
        SECONDS,
        (Segment(1, 2, HOSTILE, 0.5),),
        (Segment(1, 2, HOSTILE),),
        (Curve(HOSTILE, [0.0, 4.0], [0.1, 0.9]),),
        notes=(HOSTILE,),
    )
    table = Table("mAP", ["Features", "mAP", HOSTILE], [["raw", 41.25, "12 %"], ["SoLa", 9.5, math.nan]], HOSTILE)
    settings = {"command": f"kinoscope localize {HOSTILE}", "date": "2026-01-01", HOSTILE: "x"}
    return Report(f"Report {HOSTILE}", (full_page, pictures, hostile), (table,), settings, (HOSTILE,))


_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE, DESKTOP = (390, 844), (1280, 900)
WIDTHS = (PHONE, (768, 1024), DESKTOP, (1440, 900))


@pytest.fixture(scope="package")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_plain(browser):
    """Opens a file without waiting for a script; afterwards nothing may have been logged or asked from the network."""
    complaints, opened = [], []

    def open_at(path, scheme="light", size=DESKTOP):
        page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
        opened.append(page)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: request.url.startswith("http") and complaints.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_at
    for page in opened:
        page.close()
    assert complaints == []


@pytest.fixture
def open_page(open_plain):
    """Opens a report at a size, once its script has drawn it."""

    def open_at(path, size=DESKTOP, scheme="light"):
        page = open_plain(path, scheme, size)
        page.wait_for_selector("html.ready", state="attached")
        return page

    return open_at


def photograph(page, name):
    """Keeps what a test sees in $KINOSCOPE_SCREENSHOTS, if that is set."""
    if folder := os.environ.get("KINOSCOPE_SCREENSHOTS"):
        page.wait_for_timeout(300)
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def shown(page, selector):
    return page.locator(f".page:not([hidden]) {selector}")


def until(page, condition):
    """Waits for a JavaScript condition; playwright's own waiting evaluates text, which the page's policy forbids."""
    for _ in range(500):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(20)
    pytest.fail(f"never came true: {condition}")
