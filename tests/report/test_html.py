import base64
import hashlib
import json
import math
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from kinoscope.data.segments import Segment
from kinoscope.errors import OutputError
from kinoscope.report import Report, Table, VideoPage, render_report, write_report
from kinoscope.report.html import clock

VOID = {"meta", "link", "img", "br", "input"}


class Page(HTMLParser):
    """Collects elements and texts; fails on a tag that is closed in the wrong place."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.texts = [], [], []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    def content(self, tag):
        return [text for name, text in self.texts if name == tag]


def assert_nothing_runs(source):
    """A page without a script: the policy allows its own style and the pictures in it, and there is nothing else."""
    page = Page(source)
    policy = next(attrs["content"] for attrs in page.all("meta") if attrs.get("http-equiv"))
    style = re.findall(r"<style>(.*?)</style>", source, re.S)[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'") and f"style-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy and "script" not in policy
    assert not page.all("script") and not re.search(r"<[^>]*\sstyle=", source)
    assert not [attrs for _, attrs in page.tags if any(name.startswith("on") for name in attrs)]
    assert all(attrs["src"].startswith("data:image/") for attrs in page.all("img"))
    assert not re.search(r"https?:|@import|url\(", re.sub(r"base64,[A-Za-z0-9+/=]+", "", source))


@pytest.fixture(scope="module")
def source(full_report):
    return render_report(full_report)


def test_the_report_is_well_formed_and_hostile_text_stays_text(source, full_report):
    page = Page(source)
    assert not page.all("img")
    assert len(page.all("section")) == 3
    names = [attrs for _, attrs in page.tags if any(name.startswith("on") for name in attrs)]
    assert names == []
    shown = "".join(page.content("bdi"))
    assert "</script><img src=x onerror=" in shown
    assert "\x00" not in source
    source.encode("utf-8")


def test_the_data_block_says_what_was_given(source, full_report):
    blocks = re.findall(r'<script type="application/json" id="report-data">(.*?)</script>', source, re.S)
    data = json.loads(blocks[0])
    assert data["labels"][:3] == ["jump", "fall", "run"]
    assert data["pages"][0]["segments"][0] == [2.0, 4.0, 0, 0.9]
    assert data["pages"][2]["segments"][0][2] == len(data["labels"]) - 1
    assert data["labels"][-1].startswith("</script><img")


def test_nothing_is_loaded_from_anywhere(source):
    without_data = re.sub(r"base64,[A-Za-z0-9+/=]+", "", source)
    assert not re.search(r"https?:|//[a-z0-9-]+\.[a-z]|@import|url\(", without_data)
    for tag, attrs in Page(source).tags:
        for name in ("src", "href", "action", "data", "srcset"):
            assert tag == "meta" or attrs.get(name, "#").startswith(("#", "data:,")), (tag, attrs)


def test_the_policy_allows_this_style_and_this_script_only(source):
    policy = next(attrs["content"] for attrs in Page(source).all("meta") if attrs.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        content = re.findall(rf"<{tag}>(.*?)</{tag}>", source, re.S)
        assert len(content) == 1
        digest = base64.b64encode(hashlib.sha256(content[0].encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert not re.search(
        r"\sstyle=", re.sub(r"<script.*?</script>", "", source, flags=re.S)
    )  # the policy would refuse it


def test_tables_are_complete_without_the_script(source):
    cells = Page(source).content("td")
    assert {"0:02.00", "0:04.00", "2.00 s", "0.900", "41.250", "9.500", "–"} <= set(cells)


def test_small_videos_are_embedded_and_large_ones_are_linked(tmp_path, sample):
    report = Report("r", (VideoPage("a", 8, (), media=sample.path), VideoPage("b", 8, (), media=sample.path)))
    size = sample.path.stat().st_size
    target = tmp_path / "deep" / "report.html"

    def media(limit):
        write_report(target, report, embed_limit=limit)
        source = target.read_text(encoding="utf-8")
        data = json.loads(re.findall(r'id="report-data">(.*?)</script>', source)[0])
        return source, [page["media"] for page in data["pages"]]

    source, (first, second) = media(2 * size)
    assert first["embedded"] and second["embedded"]
    assert base64.b64decode(re.findall(r'id="media-1">(.*?)<', source)[0]) == sample.path.read_bytes()
    assert "media-src blob:;" in source

    source, (first, second) = media(size)
    assert first["embedded"] and not second["embedded"]
    assert (target.parent / unquote(second["href"])).resolve() == sample.path.resolve()
    assert "is not inside this report" in source


def test_a_video_that_cannot_be_played_is_told(tmp_path):
    (tmp_path / "x.avi").write_bytes(b"RIFF")
    pages = [
        VideoPage("a", 1, (), media=tmp_path / "x.avi"),
        VideoPage("b", 1, (), media=tmp_path / "gone.mp4"),
        VideoPage("c", 1, ()),
    ]
    source = render_report(Report("r", pages))
    data = json.loads(re.findall(r'id="report-data">(.*?)</script>', source)[0])
    notes = [page["media"]["note"] for page in data["pages"]]
    assert [".avi" in notes[0], "gone.mp4" in notes[1], "no video" in notes[2]] == [True] * 3
    assert 'id="media-' not in source


def test_bytes_are_always_embedded():
    source = render_report(Report("r", (VideoPage("a", 1, (), media=b"film", media_type="video/webm"),)), embed_limit=0)
    assert f'id="media-0">{base64.b64encode(b"film").decode()}<' in source


def test_empty_and_odd_reports_are_written():
    Page(render_report(Report("nothing", ())))
    odd = VideoPage("v", math.nan, (Segment(math.nan, math.inf, "", None), Segment(3, 1, "backwards", math.nan)))
    Page(render_report(Report("", (odd,), (Table("t", [], []), Table("u", ["a", "b"], [["1"], ["2", "x", "more"]])))))


def test_a_report_that_cannot_be_written_names_its_file(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        write_report(tmp_path / "file" / "report.html", Report("r", ()))


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0:00.00"),
        (59.996, "1:00.00"),
        (61.5, "1:01.50"),
        (3725.25, "1:02:05.25"),
        (-1.5, "-0:01.50"),
        (math.nan, "–"),
    ],
)
def test_clock(seconds, shown):
    assert clock(seconds) == shown
