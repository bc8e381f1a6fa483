"""Named protocols: their thresholds, parts and lists of videos."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kinoscope.data.annotations import read_annotations
from kinoscope.errors import OptionError
from kinoscope.evaluate.protocols import PROTOCOLS, Protocol, get_protocol, list_protocols


@pytest.mark.parametrize(
    ("names", "first", "last", "step"),
    [
        (("activitynet", "hacs", "fineaction"), 50, 95, 5),
        (("thumos14", "thumos14-212", "thumos14-gtad", "own"), 30, 70, 10),
        (("multithumos", "charades"), 10, 90, 10),
        (("epic-kitchens", "ego4d-mq"), 10, 50, 10),
    ],
)
def test_thresholds_are_decimal_literals(names: tuple[str, ...], first: int, last: int, step: int) -> None:
    wanted = tuple(float(f"0.{percent:02d}") for percent in range(first, last + 1, step))
    for name in names:
        assert get_protocol(name.upper()).thresholds == wanted


def test_every_protocol_has_its_name_and_goes_into_result_files() -> None:
    assert list_protocols() == sorted(PROTOCOLS)
    for name in list_protocols():
        protocol = get_protocol(name)
        assert protocol.name == name and protocol.subsets
        assert json.loads(json.dumps(protocol.to_dict()))["blocked"] == list(protocol.blocked)


def test_variants_of_thumos14_differ_in_their_videos_alone() -> None:
    plain = get_protocol("thumos14")
    for name, count, listed in (("thumos14-212", 1, 212), ("thumos14-gtad", 3, 210)):
        variant = get_protocol(name)
        assert len(variant.blocked) == count and variant.listed == listed
        assert replace(variant, name=plain.name, blocked=(), listed=None) == plain
    assert set(get_protocol("thumos14-212").blocked) < set(get_protocol("thumos14-gtad").blocked)


def test_blocked_names_are_checked() -> None:
    assert Protocol("mine", (0.5,), (), blocked=["b", "a", "b"]).blocked == ("b", "a")  # type: ignore[arg-type]
    for wrong in ("video_test_0000270", ("",), (" ",), (270,), (None,)):
        with pytest.raises(OptionError, match="must be names of videos") as caught:
            Protocol("mine", (0.5,), (), blocked=wrong)  # type: ignore[arg-type]
        assert caught.value.cure


def test_misspelt_names() -> None:
    for wrong, guess in (("multi-thumos", "multithumos"), ("thumos-gtad", "thumos14-gtad"), ("epic", "epic-kitchens")):
        with pytest.raises(OptionError) as caught:
            get_protocol(wrong)
        assert guess in str(caught.value.cure)


def test_the_list_of_gtad_on_its_real_file(shared_data: Path) -> None:
    truth = read_annotations(shared_data / "annotations" / "thumos_gt.json").subset("test")
    blocked = get_protocol("thumos14-gtad").blocked
    kept = {name: video for name, video in truth.videos.items() if name not in blocked}
    assert len(kept) == 210 and sum(len(video.segments) for video in kept.values()) == 3_311
    assert not set(blocked) & set(truth.videos), "its own file lacks them already"
