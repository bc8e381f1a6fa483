from __future__ import annotations

from pathlib import Path

import pytest

from kinoscope.cli.outputs import named_videos, subtitle_paths
from kinoscope.cli.terminal import plain
from kinoscope.cli.times import feature_time
from kinoscope.data.features import FeatureTime
from kinoscope.errors import OptionError, VideoError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_names_grow_until_they_differ(tmp_path: Path) -> None:
    touch(tmp_path, "a/x/v.mp4", "b/x/v.mp4", "b/y/v.mp4", "c/w.mp4", "c/deep/v.mp4")
    files = [tmp_path / name for name in ("a/x/v.mp4", "b/x/v.mp4", "b/y/v.mp4", "c")]
    names = set(named_videos(files))
    assert names == {"a/x/v", "b/x/v", "y/v", "w", "deep/v"}
    assert set(named_videos([tmp_path / "a"])) == {"x/v"}


def test_a_video_named_twice_is_taken_once(tmp_path: Path) -> None:
    touch(tmp_path, "a/v.mp4")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "a" / "v.mp4")
    files = [tmp_path / "a" / "v.mp4", tmp_path / "a", tmp_path / "link.mp4", tmp_path / "a" / ".." / "a" / "v.mp4"]
    assert named_videos(files) == {"v": tmp_path / "a" / "v.mp4"}


def test_names_that_differ_in_the_suffix_alone(tmp_path: Path) -> None:
    touch(tmp_path, "v.mp4", "v.avi")
    with pytest.raises(VideoError, match=r"v\.mp4: another video has the same name(.|\n)*rename"):
        named_videos([tmp_path / "v.mp4", tmp_path / "v.avi"])


def test_subtitles_are_one_file_or_a_folder(tmp_path: Path) -> None:
    assert subtitle_paths(None, ["a"]) == {}
    assert subtitle_paths(tmp_path / "x.srt", ["a"]) == {"a": tmp_path / "x.srt"}
    assert subtitle_paths(tmp_path, ["a"]) == {"a": tmp_path / "a.srt"}
    assert subtitle_paths(tmp_path / "s", ["a", "d/b"])["d/b"] == tmp_path / "s" / "d" / "b.srt"


def test_plain_text_is_no_markup() -> None:
    from rich.text import Text

    assert Text.from_markup(plain("[bold]a[/bold] \x1b")).plain == "[bold]a[/bold] \\x1b"


def test_time_is_given_whole_or_not_at_all() -> None:
    assert feature_time(None, None, None) is None
    assert feature_time(25, 4, 16) == FeatureTime(25, 4, 16)
    with pytest.raises(OptionError, match="needs --fps and --clip-length too"):
        feature_time(None, 4, None)
