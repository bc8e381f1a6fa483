"""A linear classifier on stored features of videos: batch normalisation, then one linear layer.

Sizes, rates and schedule are the published ones. Rate and weight decay are chosen on a part carved from the training
videos, then the classifier is trained again on them all; ``official`` takes the published pair. The weights after the
last epoch are the answer: the published code tells the best accuracy over test evaluations instead.
Letters: N videos, C channels, K classes.

Source: CoCLR sheet, sections 7 (linear probe on stored features) and 9.10.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from ..data.hold_out import carve_validation
from ..errors import FeatureError, OptionError
from .matching import Floats, Ints

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

_OFFICIAL = (1.0, 1e-3)  # learning rate, weight decay
_DROPS, _DROP_FACTOR = (0.6, 0.8), 0.1  # at these shares of the epochs: 60 and 80 of 100


@dataclass(frozen=True)
class LinearProbeOptions:
    """How the classifier is trained."""

    rates: tuple[float, ...] = (0.1, 0.3, 1.0)
    """Learning rates to choose from."""
    decays: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1)
    """Weight decays to choose from."""
    official: bool = False
    """Take the published rate 1.0 and decay 0.001 without choosing."""
    epochs: int = 100
    """Passes over the training videos; the rate falls tenfold after 60 % and 80 % of them."""
    batch_size: int = 1024
    """Videos per update."""
    momentum: float = 0.9
    """Of SGD."""
    held_out: float = 0.25
    """Share of the training videos on which rate and decay are chosen."""

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2:
            problem = f"epochs {self.epochs} and batch_size {self.batch_size} must be at least 1 and 2"
            raise OptionError(problem, cure="100 and 1024 are usual; batch normalisation needs two videos")
        if not (self.rates and min(self.rates) > 0 and self.decays and min(self.decays) >= 0):
            problem = f"rates {self.rates} must be above 0, decays {self.decays} at least 0, one or more of each"
            raise OptionError(problem, cure="leave them away for the usual ones")
        if not 0 < self.held_out < 1:
            raise OptionError(f"held_out is {self.held_out}, but must lie between 0 and 1", cure="0.25 is usual")


@dataclass(frozen=True)
class LinearProbe:
    """What the classifier says of the test videos, and how it was chosen."""

    probabilities: Floats
    """[N, K]"""
    rate: float
    decay: float
    validation: float | None
    """Accuracy on the held-out training videos of the chosen pair; none where nothing was chosen."""


def linear_probe(
    train: Floats,
    train_labels: Ints,
    test: Floats,
    classes: int,
    *,
    seed: int = 0,
    options: LinearProbeOptions | None = None,
    report: Callable[[], None] | None = None,
) -> LinearProbe:
    """Train on one feature per training video and give the probabilities of the test videos.

    The same inputs and seed give the same result; torch's global generator is left alone.

    Args:
        train: [N, C].
        train_labels: below ``classes``. Shape: [N].
        test: [n, C].
        classes: K.
        report: called after each of :func:`fits_of` trainings.

    Raises:
        FeatureError: NaN or infinity, different widths, or fewer than two training videos.
    """
    options = options or LinearProbeOptions()
    _check(train, train_labels, test)
    done = report or (lambda: None)
    rate, decay, validation = (
        (*_OFFICIAL, None) if options.official else _choose(train, train_labels, classes, seed, options, done)
    )
    probabilities = _train(train, train_labels, test, classes, rate, decay, seed, options)
    done()
    return LinearProbe(probabilities, rate, decay, validation)


def fits_of(options: LinearProbeOptions) -> int:
    """How many classifiers a probe trains."""
    return 1 if options.official else len(options.rates) * len(options.decays) + 1


def _choose(
    rows: Floats, labels: Ints, classes: int, seed: int, options: LinearProbeOptions, done: Callable[[], None]
) -> tuple[float, float, float | None]:
    """The pair with the best accuracy on held-out videos; of equal ones that of the least loss."""
    learn, held = carve_validation(labels, options.held_out, seed)
    pairs = list(product(options.rates, options.decays))
    if not len(held) or len(learn) < 2:  # every class has one video: nothing can be held out
        for _ in pairs:
            done()
        return (*_OFFICIAL, None)
    scores = []
    for rate, decay in pairs:
        found = _train(rows[learn], labels[learn], rows[held], classes, rate, decay, seed, options)  # [m, K]
        right = found.argmax(axis=1) == labels[held]
        likely = np.log(np.maximum(found[np.arange(len(held)), labels[held]], 1e-300))
        scores.append((float(right.mean()), float(likely.mean())))
        done()
    best = max(range(len(pairs)), key=scores.__getitem__)
    return (*pairs[best], scores[best][0])


def _train(
    rows: Floats,
    labels: Ints,
    test: Floats,
    classes: int,
    rate: float,
    decay: float,
    seed: int,
    options: LinearProbeOptions,
) -> Floats:
    """Probabilities of the test rows after one training. Shape: [N, C], [N], [n, C] -> [n, K]."""
    import torch
    from torch.nn import functional as F

    generator = torch.Generator().manual_seed(seed)
    network = _classifier(rows.shape[1], classes, generator)
    optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=options.momentum, weight_decay=decay)
    drops = [max(1, round(share * options.epochs)) for share in _DROPS]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, drops, _DROP_FACTOR)
    inputs, targets = torch.from_numpy(np.array(rows, np.float32)), torch.from_numpy(np.array(labels, np.int64))
    network.train()
    for _ in range(options.epochs):
        for batch in _batches(len(rows), options.batch_size, generator):
            loss = F.cross_entropy(network(inputs[batch]), targets[batch])
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
        schedule.step()
    with torch.inference_mode():
        logits: Tensor = network.eval()(torch.from_numpy(np.array(test, np.float32)))
        return logits.double().softmax(dim=1).numpy()


def _classifier(width: int, classes: int, generator: torch.Generator) -> nn.Module:
    """[N, C] -> [N, K]; weights N(0, 0.01²)."""
    import torch
    from torch import nn

    with torch.device("meta"):  # its own initialisation would draw from the global generator
        linear = nn.Linear(width, classes)
    linear = linear.to_empty(device="cpu")
    nn.init.normal_(linear.weight, std=0.01, generator=generator)
    nn.init.zeros_(linear.bias)
    return nn.Sequential(nn.BatchNorm1d(width), linear)


def _batches(count: int, size: int, generator: torch.Generator) -> list[Tensor]:
    """All rows once in random order; a last batch of one row joins the one before, it has no variance."""
    import torch

    batches = list(torch.split(torch.randperm(count, generator=generator), size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def _check(train: Floats, labels: Ints, test: Floats) -> None:
    if np.ndim(train) != 2 or np.ndim(test) != 2 or train.shape[1] != test.shape[1] or len(train) != len(labels):
        problem = f"training features {np.shape(train)}, labels {np.shape(labels)} and test features {np.shape(test)}"
        raise FeatureError(f"{problem} do not fit together", cure="give [N, C], [N] and [n, C]")
    if len(train) < 2:
        raise FeatureError("a linear probe needs at least two training videos", cure="label more videos")
    if not (np.isfinite(train).all() and np.isfinite(test).all()):
        raise FeatureError("features hold NaN or infinity", cure="extract them again")
