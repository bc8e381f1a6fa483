"""The published linear evaluation of SoLa, seeded: is a snippet action or not, as a classifier sees it that was
trained on one snippet in a hundred.

Kept for comparison with published numbers. Its accuracy is not class-balanced and its test snippets are drawn anew in
every epoch, so that differences of a few tenths of a point are noise; ``probe_boundary.py`` is the better measure.
Unlike the published code, chunks live in memory (there, those of an earlier run could come back), and the seed fixes
every draw. Letters: N snippets, C channels, M chunks, S seeds, E epochs.

Source: SoLa sheet, sections 5 and 10.9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.features import Features
from ..data.segments import Annotations
from ..errors import AnnotationError, OptionError
from .matching import Floats, Ints
from .probe_split import ProbeSplit, check_seeds, choose_split
from .snippets import Rows, Snippets, read_snippets

EPOCHS = 16
_SCORED = slice(5, 15)  # epochs 6 to 15, counted from 1
_RATE, _MOMENTUM, _BATCH = 0.01, 0.9, 256


@dataclass(frozen=True)
class OfficialProbe:
    """The published score of one kind of features."""

    split: ProbeSplit
    chunk: int
    """Snippets of one chunk."""
    seeds: tuple[int, ...]
    accuracies: Floats
    """On the test videos after each epoch. Shape: [S, E]."""
    train_chunks: tuple[int, int]
    """Chunks of background, and of action."""
    test_chunks: tuple[int, int]
    late_segments: int
    """Segments that end clearly after their video, as its features know it: is their time right?"""
    zero_rows: int
    """Rows of zeros, in training and test."""

    @property
    def scores(self) -> Floats:
        """The score of each seed. Shape: [S]."""
        return probe_score(self.accuracies)

    @property
    def score(self) -> float:
        """The mean over the seeds."""
        return float(self.scores.mean())

    @property
    def majority(self) -> float:
        """What the answer that is more often right would score without looking at the features."""
        return max(self.test_chunks) / sum(self.test_chunks)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values for JSON."""
        return {
            "protocol": "official",
            "chunk": self.chunk,
            "split": self.split.rule,
            "videos": {"train": len(self.split.train), "test": len(self.split.test)},
            "chunks": {
                part: dict(zip(("background", "action"), counts, strict=True))
                for part, counts in (("train", self.train_chunks), ("test", self.test_chunks))
            },
            "seeds": list(self.seeds),
            "score": self.score,
            "scores": self.scores.tolist(),
            "majority": self.majority,
            "late_segments": self.late_segments,
            "zero_rows": self.zero_rows,
            "accuracies": self.accuracies.tolist(),
        }


def official_probe(
    features: Mapping[str, Features],
    annotations: Annotations,
    *,
    train: Sequence[str] | None = None,
    test: Sequence[str] | None = None,
    seed: int | Sequence[int] = 0,
    chunk: int = 100,
) -> OfficialProbe:
    """Train and score the published probe; arguments as in :func:`~kinoscope.evaluate.probe_boundary.boundary_probe`.

    Args:
        features: by video name; also a ``FeatureStore``.
        annotations: segments in seconds.
        train: names of the training videos; by default the split of the annotations.
        test: give both or none.
        seed: of all that is random; several are reported beside each other.
        chunk: snippets of one class that are one item of the data, of which each epoch sees one.

    Raises:
        AnnotationError: no segment, or a class with fewer snippets than a chunk.
        FeatureError: features that are missing, damaged or of different widths.
        OptionError: an empty part, or a video in both; a chunk of no snippet.
    """
    if chunk < 1:
        raise OptionError(f"chunk is {chunk}, but must be at least 1", cure="100 is the published size")
    seeds = check_seeds(seed)
    split = choose_split(features, annotations, train, test)
    learned = read_snippets(features, annotations, split.train)
    scored = read_snippets(features, annotations, split.test)
    for part, snippets in (("training", learned), ("test", scored)):
        _require_chunks(snippets, chunk, part)
    accuracies = np.array([_accuracies(learned, scored, chunk, np.random.default_rng(seed)) for seed in seeds])
    train_chunks, test_chunks = (tuple((part.per_video.sum(axis=0) // chunk).tolist()) for part in (learned, scored))
    late, zeros = learned.late + scored.late, learned.zeros + scored.zeros
    return OfficialProbe(split, chunk, seeds, accuracies, train_chunks, test_chunks, late, zeros)


def probe_score(accuracies: Floats) -> Floats:
    """Mean accuracy of epochs 6 to 15 of 16; the last is not used. Shape: [..., E] -> [...]."""
    return np.asarray(np.asarray(accuracies)[..., _SCORED].mean(axis=-1))


def cut_chunks(snippets: Snippets, chunk: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Rows of each chunk [M, chunk], and its class [M]; what does not fill a chunk is dropped.

    The snippets of a class are those of the shuffled videos, one after the other.
    """
    place = rng.permutation(len(snippets.names))  # of each video
    order = np.argsort(place[snippets.video], kind="stable")  # [N]
    chunks = []
    for side in (False, True):
        rows = order[snippets.action[order] == side]
        chunks.append(rows[: len(rows) // chunk * chunk].reshape(-1, chunk))
    return np.concatenate(chunks), np.repeat([0, 1], [len(each) for each in chunks])


def _require_chunks(snippets: Snippets, chunk: int, part: str) -> None:
    background, action = snippets.per_video.sum(axis=0)
    if min(background, action) < chunk:
        raise AnnotationError(
            f"the {part} videos have {background} background and {action} action snippets, "
            f"but a chunk takes {chunk} of one class",
            cure=f"choose a --chunk of at most {min(background, action)}, or take --protocol boundary"
            if min(background, action)
            else "a probe needs both classes; check the times of the annotations and of the features, and the split",
        )


def _accuracies(learned: Snippets, scored: Snippets, chunk: int, rng: np.random.Generator) -> Floats:
    """Train one classifier by stochastic gradient descent; its accuracy after each epoch. Shape: [E]."""
    train, test = cut_chunks(learned, chunk, rng), cut_chunks(scored, chunk, rng)
    width = learned.values.shape[1]
    theta = rng.uniform(-1, 1, (width + 1, 2)) / np.sqrt(width)  # [C + 1, 2], the bias last; as PyTorch's Linear
    velocity = np.zeros_like(theta)
    accuracies = []
    for _ in range(EPOCHS):
        rows, labels = _one_of_each(*train, rng)
        order = rng.permutation(len(rows))
        for first in range(0, len(order), _BATCH):
            batch = order[first : first + _BATCH]
            velocity = _MOMENTUM * velocity + _gradient(theta, learned.values[rows[batch]], labels[batch])
            theta = theta - _RATE * velocity
        rows, labels = _one_of_each(*test, rng)
        found = _logits(theta, scored.values[rows]).argmax(axis=1)
        accuracies.append((found == labels).mean())
    return np.array(accuracies)


def _one_of_each(chunks: Ints, labels: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """A random row of every chunk. Shape: [M, chunk], [M] -> [M], [M]."""
    return chunks[np.arange(len(chunks)), rng.integers(chunks.shape[1], size=len(chunks))], labels


def _gradient(theta: Floats, values: Rows, labels: Ints) -> Floats:
    """Of the mean cross-entropy. Shape: [C + 1, 2]."""
    logits = _logits(theta, values)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    error = odds / odds.sum(axis=1, keepdims=True)  # [B, 2]
    error[np.arange(len(labels)), labels] -= 1
    error /= len(labels)
    return np.vstack([values.T @ error, error.sum(axis=0)])


def _logits(theta: Floats, values: Rows) -> Floats:
    return np.asarray(values @ theta[:-1] + theta[-1])  # [B, 2]
