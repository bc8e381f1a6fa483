"""The published linear evaluation: its score, its chunks, its training against PyTorch's own layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kinoscope.errors import AnnotationError, OptionError
from kinoscope.evaluate import official_probe
from kinoscope.evaluate.probe_official import EPOCHS, cut_chunks, probe_score
from kinoscope.evaluate.snippets import read_snippets

from . import probe_cases as cases


def test_score_of_the_sheet(vectors: Any) -> None:
    case = next(case for case in vectors("sola")["cases"] if case["id"] == "probe_score")
    accuracies = np.array(case["inputs"]["val_accuracy_per_epoch"])
    assert probe_score(accuracies) == pytest.approx(case["expected"]["score"], abs=1e-9)
    assert len(accuracies) == EPOCHS


def test_chunks_hold_one_class_and_no_snippet_twice() -> None:
    truth = cases.annotations(20)
    snippets = read_snippets(cases.features(truth, signal=1), truth, list(truth.videos))
    rows, labels = cut_chunks(snippets, 7, np.random.default_rng(0))
    assert rows.shape == (len(labels), 7) and len(np.unique(rows)) == rows.size
    assert (snippets.action[rows] == labels[:, None].astype(bool)).all()
    assert np.bincount(labels).tolist() == (snippets.per_video.sum(axis=0) // 7).tolist()
    background = rows[labels == 0].ravel()
    order = snippets.video[background][np.r_[True, np.diff(snippets.video[background]) != 0]]
    assert len(order) == len(set(order)) == 20 and order.tolist() != sorted(order), "videos shuffled, each in one piece"
    assert all((np.diff(background[snippets.video[background] == video]) > 0).all() for video in order)


def slow_accuracies(features: Any, truth: Any, chunk: int, seed: int) -> list[float]:
    """With PyTorch's layer, loss and optimiser, and the same draws."""
    parts = [
        read_snippets(features, truth, [name for name, video in truth.videos.items() if video.subset == subset])
        for subset in ("train", "test")
    ]
    rng = np.random.default_rng(seed)
    (train, train_labels), (test, test_labels) = (cut_chunks(part, chunk, rng) for part in parts)
    width = parts[0].values.shape[1]
    layer = torch.nn.Linear(width, 2).double()
    start = torch.from_numpy(rng.uniform(-1, 1, (width + 1, 2)) / np.sqrt(width))
    layer.load_state_dict({"weight": start[:-1].T, "bias": start[-1]})
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.01, momentum=0.9)
    accuracies = []
    for _ in range(16):
        items = [
            parts[0].values[row[pick]] for row, pick in zip(train, rng.integers(chunk, size=len(train)), strict=True)
        ]
        order = rng.permutation(len(items))
        for first in range(0, len(order), 256):
            batch = order[first : first + 256]
            logits = layer(torch.from_numpy(np.array([items[index] for index in batch])).double())
            optimizer.zero_grad()
            F.cross_entropy(logits, torch.from_numpy(train_labels[batch])).backward()
            optimizer.step()
        items = [
            parts[1].values[row[pick]] for row, pick in zip(test, rng.integers(chunk, size=len(test)), strict=True)
        ]
        found = layer(torch.from_numpy(np.array(items)).double()).argmax(dim=1)
        accuracies.append(float((found.numpy() == test_labels).mean()))
    return accuracies


def test_training_equals_pytorch() -> None:
    truth = cases.annotations(32)
    features = cases.features(truth, signal=6, width=4)
    found = official_probe(features, truth, seed=3, chunk=3)
    np.testing.assert_allclose(found.accuracies[0], slow_accuracies(features, truth, 3, 3), atol=1e-12)
    assert len(set(found.accuracies[0].tolist())) > 1, "it learned something"


def test_seeds_stand_beside_each_other() -> None:
    truth = cases.annotations(32)
    features = cases.features(truth, signal=6, width=4)
    both = official_probe(features, truth, seed=(0, 1), chunk=5)
    alone = official_probe(features, truth, seed=1, chunk=5)
    assert both.accuracies.shape == (2, EPOCHS) and both.scores[1] == alone.score != both.scores[0]
    assert both.score == pytest.approx(both.scores.mean()) and both.to_dict()["scores"] == both.scores.tolist()
    background, action = both.test_chunks
    assert both.majority == background / (background + action) and both.late_segments == 0


def test_too_few_snippets_for_a_chunk() -> None:
    truth = cases.annotations(8)
    features = cases.features(truth, signal=1)
    with pytest.raises(
        AnnotationError, match=r"training videos have \d+ background and \d+ action .* takes 100"
    ) as told:
        official_probe(features, truth)
    least = int(str(told.value.cure).split("at most ")[1].split(",")[0])
    assert official_probe(features, truth, chunk=min(least, 20)).train_chunks[1] >= 1
    with pytest.raises(OptionError, match="chunk is 0"):
        official_probe(features, truth, chunk=0)
