"""The boundary probe on planted signals, on real features, and where it must refuse."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinoscope.data.feature_store import FeatureStore
from kinoscope.data.features import Features, FeatureTime, write_features
from kinoscope.data.segments import Annotations, Segment, VideoAnnotation
from kinoscope.errors import AnnotationError, OptionError
from kinoscope.evaluate import BoundaryProbeOptions, boundary_probe

from . import probe_cases as cases

MEASURES = {f"{region}{score}" for region in ("", "near_", "far_") for score in ("balanced_accuracy", "auc")}


def test_a_planted_signal_is_found_and_noise_is_not() -> None:
    truth = cases.annotations(40)
    knows = boundary_probe(cases.features(truth, signal=20), truth, seed=(0, 1))
    guesses = boundary_probe(cases.features(truth, signal=0), truth)
    assert set(knows.measures) == MEASURES and min(knows.measures.values()) > 0.98
    for name, value in guesses.measures.items():
        assert abs(value - 0.5) < 0.1, name
    assert knows.auc == knows.measures["auc"] and knows.near_auc == knows.measures["near_auc"]
    assert knows.balanced_accuracy > 0.98 < knows.far_balanced_accuracy
    gap = knows.minus(guesses, 200)["near_balanced_accuracy"]
    assert gap.shown and gap.low < gap.value < gap.high and 0.3 < gap.value < 0.6
    assert not knows.minus(knows, 200)["auc"].shown


def test_a_signal_that_comes_late_fails_near_boundaries_alone() -> None:
    """Features that know the truth of half a second ago."""
    truth = cases.annotations(40)
    prompt = cases.features(truth, signal=20)
    late = {name: replace(each, values=np.roll(each.values, 2, axis=0)) for name, each in prompt.items()}
    found = boundary_probe(late, truth)
    assert found.far_auc > 0.99 > 0.95 > found.near_auc
    assert boundary_probe(prompt, truth).near_auc > 0.99


def test_every_snippet_counts_once() -> None:
    truth = cases.annotations(16)
    found = boundary_probe(cases.features(truth, signal=1), truth)
    counts = {region: sum(each.snippets) for region, each in found.regions.items()}
    assert counts["all"] == 8 * cases.ROWS == counts["near"] + counts["far"]
    assert sum(found.train_snippets) == 8 * cases.ROWS and found.split.test[0] == "v01"
    truths = [label for name in found.split.test for label in _labels(truth, name)]
    assert found.regions["all"].snippets == (truths.count(False), truths.count(True))


def _labels(truth: Annotations, name: str) -> list[bool]:
    centers = cases.TIME.centers(cases.ROWS)
    return [any(s.start <= center < s.end for s in truth.videos[name].segments) for center in centers]


def test_the_scale_and_the_order_of_channels_change_nothing() -> None:
    truth = cases.annotations(16)
    features = cases.features(truth, signal=1)
    options = BoundaryProbeOptions(normalise=False)
    first = boundary_probe(features, truth, options=options)
    scale = np.array([1e-3, 7, 1, 50, 2, 1e3], np.float32)
    other = {
        name: replace(each, values=(each.values * scale + 3 * scale)[:, ::-1].copy()) for name, each in features.items()
    }
    again = boundary_probe(other, truth, options=options)
    assert again.strengths == first.strengths
    assert again.auc == pytest.approx(first.auc, abs=1e-3)


def test_constant_channels_and_constant_features() -> None:
    truth = cases.annotations(16)
    features = cases.features(truth, signal=3)
    padded = {
        name: replace(each, values=np.pad(each.values, ((0, 0), (0, 2)), constant_values=(0, 1e4)))
        for name, each in features.items()
    }
    options = BoundaryProbeOptions(normalise=False)
    assert boundary_probe(padded, truth, options=options).auc == pytest.approx(
        boundary_probe(features, truth, options=options).auc, abs=1e-6
    )
    flat = {name: replace(each, values=np.full_like(each.values, 0.1)) for name, each in features.items()}
    found = boundary_probe(flat, truth)
    assert found.auc == found.balanced_accuracy == 0.5
    empty = {name: replace(each, values=np.zeros_like(each.values)) for name, each in features.items()}
    assert boundary_probe(empty, truth).zero_rows == 16 * cases.ROWS


def test_seeds_choose_the_held_out_part_and_scores_are_means() -> None:
    truth = cases.annotations(24)
    features = cases.features(truth, signal=0.7, width=40)
    alone = [boundary_probe(features, truth, seed=seed) for seed in range(4)]
    together = boundary_probe(features, truth, seed=range(4))
    assert together.strengths == tuple(each.strengths[0] for each in alone) and together.seeds == (0, 1, 2, 3)
    for name, value in together.measures.items():
        assert value == pytest.approx(np.mean([each.measures[name] for each in alone]), abs=1e-6)
    again = boundary_probe(features, truth, seed=range(4))
    assert again.measures == together.measures and again.intervals(100) == together.intervals(100)


def test_strength_is_chosen_where_it_helps() -> None:
    """Few noisy videos, many channels: little regularisation learns the noise."""
    truth = cases.annotations(12)
    found = boundary_probe(cases.features(truth, signal=1.5, width=200), truth)
    weak = BoundaryProbeOptions(strengths=(1e-4,))
    assert found.strengths[0] > 1e-3
    assert found.auc > boundary_probe(cases.features(truth, signal=1.5, width=200), truth, options=weak).auc


def test_one_training_video_takes_the_middle_strength() -> None:
    truth = cases.annotations(12)
    features = cases.features(truth, signal=3)
    options = BoundaryProbeOptions(strengths=(1e-3, 0.5, 10))
    found = boundary_probe(features, truth, train=["v02"], test=["v03", "v05"], options=options)
    assert found.strengths == (0.5,) and found.split.rule == "parts as given"


def test_folders_and_dicts_are_alike(tmp_path: Path) -> None:
    truth = cases.annotations(12)
    features = cases.features(truth, signal=1)
    for name, each in features.items():
        write_features(tmp_path / f"{name}.safetensors", each)
    assert boundary_probe(FeatureStore(tmp_path), truth).measures == boundary_probe(features, truth).measures


def test_a_region_without_a_class_has_no_score() -> None:
    truth = cases.annotations(12)
    found = boundary_probe(cases.features(truth, signal=1), truth, options=BoundaryProbeOptions(near=100))
    assert math.isnan(found.far_auc) and math.isnan(found.intervals(50)["far_balanced_accuracy"].low)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["measures"]["far_auc"] is None


def test_refusals() -> None:
    truth = cases.annotations(12)
    features = cases.features(truth, signal=1)
    whole = {name: replace(video, segments=(Segment(0, 99, "x"),)) for name, video in truth.videos.items()}
    with pytest.raises(AnnotationError, match="all 360 snippets of the 6 training videos are action"):
        boundary_probe(features, Annotations(whole))
    test_only = {
        name: replace(video, segments=() if video.subset == "test" and name != "v01" else video.segments)
        for name, video in truth.videos.items()
    }
    test_only["v01"] = VideoAnnotation((Segment(200, 201, "x"),), subset="test")
    with pytest.raises(AnnotationError, match="all 360 snippets of the 6 test videos are background"):
        boundary_probe(features, Annotations(test_only))
    for seed in (-1, ()):
        with pytest.raises(OptionError, match="seeds are"):
            boundary_probe(features, truth, seed=seed)
    for wrong in ({"near": -1.0}, {"strengths": ()}, {"strengths": (0.0,)}, {"held_out": 1.0}):
        with pytest.raises(OptionError, match=next(iter(wrong))):
            BoundaryProbeOptions(**wrong)  # type: ignore[arg-type]
    first = boundary_probe(features, truth)
    other = boundary_probe(features, truth, train=first.split.train, test=first.split.test[:-1])
    with pytest.raises(OptionError, match="tested on different videos"):
        first.minus(other)


def test_real_features(shared_data: Path) -> None:
    """GTEA, split 1: per-frame features of a network that was trained on the training videos."""
    folder = shared_data / "gtea"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    features, videos = {}, {}
    for part in ("train", "test"):
        for name in (folder / "splits" / f"{part}.split1.txt").read_text().split():
            with np.load(folder / "features" / f"{name}.npz") as file:
                values, label = file["feat"].astype(np.float32), file["label"].ravel()
            features[name] = Features(values[::5], FeatureTime(fps=15, stride=5, clip_length=1))
            edges = [0, *(np.flatnonzero(np.diff(label)) + 1).tolist(), len(label)]
            runs = itertools.pairwise(edges)
            segments = tuple(Segment(a / 15, b / 15, str(label[a])) for a, b in runs if label[a])
            videos[name] = VideoAnnotation(segments, subset=part)
    found = boundary_probe(features, Annotations(videos))
    assert len(found.split.train) == 21 and len(found.split.test) == 7
    assert 0.7 < found.balanced_accuracy < 0.8 and 0.8 < found.auc < 0.9
    assert found.near_auc < found.auc
