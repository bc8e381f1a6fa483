"""Folders for other tools: what is written, that it says its time once, and that we read it back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinoscope.data.feature_interchange import (
    BESIDE,
    get_interchange,
    interchange_files,
    list_interchanges,
    read_beside,
    write_interchange,
)
from kinoscope.data.feature_store import FeatureStore
from kinoscope.data.features import Features, FeatureTime
from kinoscope.errors import FeatureError, OptionError

from ..folders import names_in

ROWS = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
THUMOS, TSP = get_interchange("opentad:thumos_i3d"), get_interchange("ActionFormer:anet_tsp")


def made(fps: float = 30.0, stride: float = 4, clip: float = 16, rows: int = 7, **more: Any) -> Features:
    time = FeatureTime(fps, stride, clip, more.pop("offset", 0.0), 1.5)
    return Features(ROWS[:rows], time, more.pop("encoder", "enc"), more.pop("weight_hash", "hash"))


def test_what_the_tool_finds(tmp_path: Path) -> None:
    write_interchange(tmp_path, {"test/video_test_0000004": made(), "video_test_0000007": made(25.0, rows=3)}, THUMOS)
    assert names_in(tmp_path) == [BESIDE, "video_test_0000004.npy", "video_test_0000007.npy"]
    plain = np.load(tmp_path / "video_test_0000004.npy", allow_pickle=False)
    assert plain.dtype == np.float32 and plain.shape == (7, 4)
    np.testing.assert_array_equal(plain, ROWS)


def test_the_time_is_stated_once(tmp_path: Path) -> None:
    write_interchange(tmp_path, {"a": made(), "b": made()}, THUMOS)
    said = json.loads((tmp_path / BESIDE).read_text())
    assert (said["like"], said["fps"], said["stride"], said["clip_length"], said["offset"]) == (
        "opentad:thumos_i3d",
        30.0,
        4,
        16,
        0.0,
    )
    assert said["settings"] == {"feat_format": "npy", "feature_stride": 4, "sample_stride": 1, "offset_frames": 8}
    assert said["videos"]["a"] == {"video": "a", "rows": 7, "duration": 1.5}
    write_interchange(tmp_path, {"a": made(), "b": made(25.0)}, THUMOS)
    said = json.loads((tmp_path / BESIDE).read_text())
    assert said["fps"] is None and [said["videos"][name]["fps"] for name in "ab"] == [30.0, 25.0]


def test_what_is_fulfilled_and_what_not_is_said(tmp_path: Path) -> None:
    for name in list_interchanges():
        preset = get_interchange(name)
        write_interchange(tmp_path, {"a": made(preset.fps or 24.0, preset.stride, preset.clip_length)}, preset)
        said = json.loads((tmp_path / BESIDE).read_text())
        kept, unlike = " ".join(said["as_the_tool_expects"]), " ".join(said["not_as_the_tool_expects"])
        assert f"a row every {preset.stride} frames" in kept and "[T, C]" in kept
        assert "another network" in unlike and f"rows have 4 channels, the tool's own {preset.width}" in unlike
        assert ("own frame rate" in kept) == (preset.fps is None) == ("own frame rate" in unlike)
        assert ("rgb_test.h5" in unlike) == name.startswith("gtad")
    assert not any("channels" in sentence for sentence in THUMOS.unlike(2048))


@pytest.mark.parametrize(
    ("video", "file"),
    [
        ("v_JDg--pjY5gg", "v_JDg--pjY5gg.npy"),
        ("JDg--pjY5gg", "v_JDg--pjY5gg.npy"),
        ("v_abcdefghi", "v_v_abcdefghi.npy"),  # an id of 11 characters may begin so itself
        ("val/JDg--pjY5gg", "v_JDg--pjY5gg.npy"),
    ],
)
def test_names_of_activitynet(video: str, file: str) -> None:
    assert TSP.file_name(video) == file and THUMOS.file_name("a/b") == "b.npy"


def test_folders_that_would_share_a_file() -> None:
    with pytest.raises(OptionError, match=r"'a/x' and 'b/x' would both be x.npy"):
        interchange_files(["a/x", "b/x"], THUMOS)


def test_it_is_read_back_with_its_time(tmp_path: Path) -> None:
    features = {"v_JDg--pjY5gg": made(15.0, 16, 16), "JDg--pjY5gh": made(15.0, 16, 16, rows=2)}
    write_interchange(tmp_path, features, TSP)
    store = FeatureStore(tmp_path)
    assert sorted(store) == ["v_JDg--pjY5gg", "v_JDg--pjY5gh"]
    again = store["JDg--pjY5gh"]  # as annotations call it
    assert (again.time, again.encoder, again.weight_hash) == (FeatureTime(15, 16, 16, 0, 1.5), "enc", "hash")
    assert store.open("v_JDg--pjY5gg").time == again.time and store.mapped()["v_JDg--pjY5gg"].encoder == "enc"
    assert FeatureStore(tmp_path, FeatureTime(15, 16, 16))["JDg--pjY5gg"].time == again.time
    with pytest.raises(FeatureError, match="is not the time given"):
        FeatureStore(tmp_path, FeatureTime(30, 16, 16))["JDg--pjY5gg"]


def test_files_that_it_does_not_name_need_a_time(tmp_path: Path) -> None:
    write_interchange(tmp_path, {"a": made()}, THUMOS)
    np.save(tmp_path / "b.npy", ROWS)
    (tmp_path / "more").mkdir()
    np.save(tmp_path / "more" / "a2.npy", ROWS)
    store = FeatureStore(tmp_path)
    for name in ("b", "more/a2"):
        with pytest.raises(FeatureError, match="has no time"):
            store[name]
    timed = FeatureStore(tmp_path, FeatureTime(30, 4, 16))
    assert timed["b"].encoder == "" and timed["a"].encoder == "enc"


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({}, "there are no features"),
        ({"a": made(stride=8)}, "'a' has 30 fps, stride 8, clips of 16; opentad:thumos_i3d wants 30 fps, stride 4"),
        ({"a": made(clip=8)}, "clips of 8"),
        ({"a": made(offset=0.5)}, "from 0 s on"),
        ({"a": made(), "b": made(encoder="other")}, "'b' comes from 'other'"),
        ({"a": made(), "b": made(weight_hash="other")}, "'b' comes from"),
    ],
)
def test_features_made_otherwise_are_refused(tmp_path: Path, features: dict[str, Features], message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        write_interchange(tmp_path, features, THUMOS)
    assert BESIDE not in names_in(tmp_path)
    with pytest.raises(FeatureError, match="wants 15 fps"):
        write_interchange(tmp_path, {"a": made(30.0, 16, 16)}, TSP)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stride": "4"}, "stride is '4'"),
        ({"stride": None}, "stride is None"),
        ({"fps": None}, "fps is None"),
        ({"videos": []}, "names no videos"),
        ({"encoder": None}, "names no videos, or no encoder"),
        ({"videos": {"a": {"duration": -1}}}, "duration is -1"),
        ({"videos": {"a": 3}, "clip_length": 0}, "clip_length is 0"),
    ],
)
def test_a_damaged_statement_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write_interchange(tmp_path, {"a": made()}, THUMOS)
    said = json.loads((tmp_path / BESIDE).read_text()) | change
    (tmp_path / BESIDE).write_text(json.dumps(said))
    with pytest.raises(FeatureError, match=message) as caught:
        FeatureStore(tmp_path)
    assert BESIDE in str(caught.value.where) and caught.value.cure
    (tmp_path / BESIDE).write_text(json.dumps(said)[:50])
    with pytest.raises(FeatureError, match="not JSON"):
        FeatureStore(tmp_path)


def test_a_file_of_another_tool_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / BESIDE).write_text('{"a": [1, 2]}')
    assert read_beside(tmp_path).times == {}


def test_unknown_layouts() -> None:
    with pytest.raises(OptionError) as caught:
        get_interchange("opentad:thumos")
    assert "did you mean 'opentad:thumos_i3d'?" in str(caught.value.cure)
