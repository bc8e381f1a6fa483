"""Windows and crops at test time, and the features of windows: the sheet's cases, padding, one decode, the cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kinoscope.clips.reader import Clips
from kinoscope.clips.windows import crop_views, crop_window, read_windows, window_samples, window_starts
from kinoscope.coclr.window_features import load_window_encoder, window_features
from kinoscope.errors import OptionError, VideoError
from kinoscope.video.streams import normalise

from . import made_encoders


def case(vectors: Callable[[str], dict[str, Any]], name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    found = next(each for each in vectors("coclr")["cases"] if each["id"] == name)
    return found["inputs"], found["expected"]


def test_the_case_of_starts(vectors: Callable[[str], dict[str, Any]]) -> None:
    given_, expected = case(vectors, "test_windows_starts")
    assert [window_starts(n, given_["num_frames"]).tolist() for n in given_["totals"]] == expected["starts"]


def test_the_case_of_short_videos(vectors: Callable[[str], dict[str, Any]]) -> None:
    given_, expected = case(vectors, "test_windows_short")
    assert [window_samples(n, given_["num_frames"]).tolist() for n in given_["totals"]] == expected["indices"]


@given(st.integers(1, 300), st.integers(1, 64))
def test_windows_lie_inside_and_end_near_the_end(samples: int, frames: int) -> None:
    shown = window_samples(samples, frames)
    assert shown.min() >= 0 and shown.max() < samples and shown.shape[1] == frames
    assert samples - 1 - shown.max() < max(1, frames // 2 - 1)
    if samples <= frames:
        assert shown[0, -1] == samples - 1 and shown[0, 0] == 0 and len(shown) == 1


def test_impossible_counts() -> None:
    for samples, frames in ((0, 8), (8, 0)):
        with pytest.raises(OptionError, match="at least 1"):
            window_starts(samples, frames)
    with pytest.raises(OptionError, match="choose 1"):
        crop_views((240, 320), 5)  # type: ignore[arg-type]


def test_ten_crops_are_the_published_ones_at_the_published_size() -> None:
    views = crop_views((240, 320), 10)
    boxes = [view.box for view in views[:5]]
    assert boxes == [(8, 48, 224, 224), (0, 0, 224, 224), (0, 96, 224, 224), (16, 0, 224, 224), (16, 96, 224, 224)]
    assert [view.box for view in views[5:]] == boxes
    assert [view.flip for view in views] == [False] * 5 + [True] * 5
    assert len({view.box for view in crop_views((42, 42), 10)}) == 5  # corners stay apart at every size


def test_crops_of_converted_recognisers_are_the_published_ones() -> None:
    """112 of 128 pixels, as they are: nothing is scaled (BERT sheet, sections 7 and 9)."""
    assert [view.box for view in crop_views((128, 170), share=112 / 128)] == [(8, 29, 112, 112)]
    boxes = [view.box for view in crop_views((128, 170), 10, 112 / 128)[:5]]
    assert boxes == [(8, 29, 112, 112), (0, 0, 112, 112), (0, 58, 112, 112), (16, 0, 112, 112), (16, 58, 112, 112)]
    clip = np.random.default_rng(0).integers(0, 255, (2, 128, 170, 3), dtype=np.uint8)
    np.testing.assert_array_equal(crop_window(clip, 112, share=112 / 128)[0], clip[:, 8:120, 29:141])
    np.testing.assert_array_equal(crop_window(clip, 112, 10, share=112 / 128)[4], clip[:, 16:, 58:])


def test_crops_of_a_window_hold_what_their_boxes_say() -> None:
    clip = np.zeros((2, 60, 80, 3), np.uint8)
    clip[:, :30, :40] = 200  # bright at the top left
    shown = crop_window(clip, 56, 10)  # as large as the crops: nothing is scaled
    assert shown.shape == (10, 2, 56, 56, 3)
    np.testing.assert_array_equal(shown[1], clip[:, :56, :56])
    np.testing.assert_array_equal(shown[6], clip[:, :56, 55::-1])
    np.testing.assert_array_equal(crop_window(clip, 60)[0], clip[:, :, 10:70])


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return made_encoders.videos(tmp_path_factory.mktemp("films"), each=1, frames=45)


def test_features_are_those_of_a_slow_twin(films: dict[str, Path], tmp_path: Path) -> None:
    paths = [made_encoders.encoder(tmp_path / stream, stream) for stream in ("rgb", "flow")]  # type: ignore[arg-type]
    encoders = [load_window_encoder(path) for path in paths]
    found = window_features(films, encoders)
    for encoder, rows in zip(encoders, found.rows, strict=True):
        stream = encoder.spec.stream
        clips = Clips(films, [stream], encoder.clips)
        starts = list(range(0, 45 - 8 + 1, 3))
        assert rows["0-0"].shape == (len(starts), 128)
        for start, row in list(zip(starts, rows["0-0"], strict=True))[::5]:
            clip = crop_window(clips.read(0, [(start, [stream])])[0][stream], 32)
            with torch.inference_mode():
                np.testing.assert_allclose(encoder.network(normalise(clip))[0], row, atol=1e-3, rtol=1e-4)


def test_a_short_video_is_padded_on_the_left(tmp_path: Path) -> None:
    films = made_encoders.videos(tmp_path, each=1, frames=3)
    encoder = load_window_encoder(made_encoders.encoder(tmp_path / "rgb"))
    assert window_features(films, [encoder]).rows[0]["0-0"].shape == (1, 128)
    clips = Clips(films, ["rgb"], encoder.clips)
    (window,) = read_windows(clips, 0, ["rgb"])
    frames = window["rgb"]
    assert all((frames[t] == frames[0]).all() for t in range(6)) and (frames[6] != frames[7]).any()


def test_the_cache_is_used_until_video_or_encoder_change(
    films: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kinoscope.coclr import window_features as module

    encoder = load_window_encoder(made_encoders.encoder(tmp_path / "rgb"))
    first = window_features(films, [encoder], cache=tmp_path / "cache")
    looked: list[str] = []
    encode = module.encode_video
    monkeypatch.setattr(module, "encode_video", lambda c, i, e: looked.append(c.names[i]) or encode(c, i, e))
    again = window_features(films, [encoder], cache=tmp_path / "cache")
    assert not looked and all((again.rows[0][name] == first.rows[0][name]).all() for name in films)
    films["0-0"].touch()
    broken = next(path for path in (tmp_path / "cache").rglob("1-0*"))
    broken.write_bytes(broken.read_bytes()[:50])
    window_features(films, [encoder], cache=tmp_path / "cache")
    assert looked == ["0-0", "1-0"]
    other = load_window_encoder(made_encoders.encoder(tmp_path / "other", seed=1))
    window_features(films, [encoder, other], cache=tmp_path / "cache")
    assert looked[2:] == ["0-0", "1-0"] and other.key != encoder.key


def test_videos_that_fail_are_left_out_and_told(films: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_text("no video")
    encoder = load_window_encoder(made_encoders.encoder(tmp_path / "rgb"))
    found = window_features({**films, "bad": tmp_path / "bad.mp4"}, [encoder])
    assert list(found.failed) == ["bad"] and sorted(found.rows[0]) == ["0-0", "1-0"]
    with pytest.raises(VideoError, match="no video could be read"):
        window_features({"bad": tmp_path / "bad.mp4"}, [encoder])
