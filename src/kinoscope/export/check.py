"""Does an exported file answer as PyTorch does? It is asked about real clips, one at a time and in batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import WeightError
from .exportable import Exportable, outputs_of
from .runtime import ExportedModel

TOLERANCE = 1e-4
"""Of float32 outputs: the largest difference, as a share of PyTorch's largest output."""
LEAST_AGREEMENT = 0.9
"""Of int8 logits: the share of clips with the same answer. Of other int8 outputs: the least cosine similarity."""
_BATCH = 3

Progress = Callable[[], None]


@dataclass(frozen=True)
class Agreement:
    """An exported file beside PyTorch on the same clips."""

    clips: int
    """Real clips that both saw."""
    scale: float
    """PyTorch's largest output."""
    difference: float
    """Largest difference of an output."""
    cosine: float
    """Of the outputs: the smallest over the clips."""
    probability: float | None = None
    """Largest difference of a probability, where the outputs are logits."""
    same_answers: float | None = None
    """Share of clips with the same most probable class."""

    @property
    def relative(self) -> float:
        """The largest difference as a share of the scale."""
        return self.difference / max(self.scale, 1e-12)


def compare(source: Exportable, path: Path, clips: Sequence[np.ndarray], report: Progress | None = None) -> Agreement:
    """Ask both about every clip: the file one by one and in batches of three, the last of them smaller.

    Args:
        source: the network in PyTorch.
        path: the exported file.
        clips: as decoded. Shape of each: [T, S, S, 3], uint8.
        report: called after each clip.
    """
    exported = ExportedModel(path, threads=torch.get_num_threads())
    inputs = ((torch.cat([source.prepare(clip) for clip in batch]),) for batch in _batches(clips))  # of [b, ...]
    ((expected, *found),) = answers(lambda x: (outputs_of(source, x),), lambda x: [exported(x)], inputs, report)
    return agreement(expected, *found, logits=bool(source.classes))


def answers(
    eager: Callable[..., Sequence[Tensor]],
    exported: Callable[..., Sequence[np.ndarray]],
    batches: Iterable[Sequence[Tensor]],
    report: Progress | None = None,
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """What both say of the same inputs: for each output that of PyTorch, and of the file one by one and in batches.

    Args:
        eager: inputs → outputs, in PyTorch.
        exported: the same by the file.
        batches: of inputs. Shape of each: [b, ...].
        report: called for each that was asked alone.
    """
    expected, single, batched = [], [], []
    for inputs in batches:
        expected.append(eager(*inputs))
        batched.append(_by(exported, inputs))
        for one in range(len(inputs[0])):
            single.append(_by(exported, [each[one : one + 1] for each in inputs]))
            if report:
                report()
    return [
        (torch.cat(a), torch.cat(b), torch.cat(c))
        for a, b, c in zip(
            zip(*expected, strict=True), zip(*single, strict=True), zip(*batched, strict=True), strict=True
        )
    ]


def _by(exported: Callable[..., Sequence[np.ndarray]], inputs: Sequence[Tensor]) -> list[Tensor]:
    return [torch.from_numpy(each) for each in exported(*(x.numpy() for x in inputs))]


def agreement(expected: Tensor, *found: Tensor, logits: bool) -> Agreement:
    """How far ``found`` is from ``expected``, the worst of all. Shape of each: [B, ...].

    Outputs of another shape, or that are not finite, are infinitely far.
    """
    if not all(each.shape == expected.shape and each.isfinite().all() for each in found):
        scale, nothing = float(expected.abs().max()), 0.0 if logits else None
        return Agreement(len(expected), scale, math.inf, -1.0, 1.0 if logits else None, nothing)
    pairs = [(expected.flatten(1).double(), each.flatten(1).double()) for each in found]
    return Agreement(
        clips=len(expected),
        scale=float(expected.abs().max()),
        difference=max(float((a - b).abs().max()) for a, b in pairs),
        cosine=min(float(torch.cosine_similarity(a, b).min()) for a, b in pairs),
        probability=max(float((a.softmax(1) - b.softmax(1)).abs().max()) for a, b in pairs) if logits else None,
        same_answers=min(float((a.argmax(1) == b.argmax(1)).double().mean()) for a, b in pairs) if logits else None,
    )


def require_agreement(
    found: Agreement, where: Path, *, tolerance: float = TOLERANCE, least: float | None = None
) -> None:
    """Refuse a file that answers otherwise than PyTorch.

    Args:
        found: see :func:`compare`.
        where: the file that is not written, for the message.
        tolerance: see :data:`TOLERANCE`.
        least: see :data:`LEAST_AGREEMENT`; then the tolerance does not count.

    Raises:
        WeightError: it does.
    """
    if least is None:
        if not found.relative <= tolerance:
            problem = f"disagrees with PyTorch by {found.relative:.1e} of the largest output, more than {tolerance:g}"
            raise WeightError(f"{problem}: not written", where=where, cure="try another --opset, or report this")
        return
    share, what = found.cosine, f"the cosine similarity with PyTorch is down to {found.cosine:.3f}"
    if found.same_answers is not None:
        share, what = found.same_answers, f"only {found.same_answers:.1%} of the answers are those of PyTorch"
    if not share >= least:
        problem = f"int8: on {found.clips} clips {what}; wanted is {least:g} at least: not written"
        cure = "calibrate with more videos like those to come, lower --least-agreement, or leave --int8 out"
        raise WeightError(problem, where=where, cure=cure)


def _batches(clips: Sequence[np.ndarray]) -> Iterator[Sequence[np.ndarray]]:
    return (clips[first : first + _BATCH] for first in range(0, len(clips), _BATCH))
