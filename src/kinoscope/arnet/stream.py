"""The same policy on a stream: frames come one by one, labels are there after each, and memory does not grow.

    stream = AdaptiveStream(load_adaptive("runs/ar"))
    for frame, seconds in …:                      # candidate frames, in the order of time
        update = stream.push(frame, seconds)      # update.skip: how many of the next ones need not be decoded

What is answered covers the last T candidates, as in training; every T candidates the policy begins anew, because it
has never seen more in a row. Labels are valid after the first answer.

Letters: T candidate frames, K classes.

Source: AR-Net sheet, section 11 (streaming interface).
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

import av
import numpy as np
import torch
from torch import Tensor

from ..video.sampling import FloatArray
from ..video.scaling import Frame
from .gumbel import log_probabilities
from .model import AdaptiveRecognizer
from .network import most_probable
from .pixels import Glass, shrink
from .spending import DEFAULT, Spending


@dataclass(frozen=True)
class Update:
    """What is known after a frame."""

    time: float
    """Of the frame, in seconds of the stream."""
    action: int
    """What was done with it."""
    skip: int
    """How many of the next candidate frames need not be decoded."""
    probabilities: FloatArray | None
    """Over the last T candidates; None before the first answer. Shape: [K]."""
    took: float
    """Seconds from the frame's arrival to this."""

    def best(self, classes: tuple[str, ...]) -> tuple[str, float] | None:
        """The most probable label and its probability."""
        if self.probabilities is None:
            return None
        number = int(self.probabilities.argmax())
        return classes[number], float(self.probabilities[number])


class AdaptiveStream:
    """Answers for one stream.

    Args:
        model: a trained AR-Net.
        spending: its knobs; ``frames`` is T, over how many candidates an answer reaches back.
    """

    def __init__(self, model: AdaptiveRecognizer, spending: Spending = DEFAULT) -> None:
        self.model, self.spending = model, spending
        self.reach = spending.frames or model.options.segments
        self._state = model.network.policy.start(1)
        self._answers: deque[tuple[int, Tensor]] = deque()
        """(number of the candidate, logits [K]) of those that an answer still reaches back to."""
        self._number, self._since = 0, 0
        self._resting, self._action = 0, 0
        """Candidates that are still skipped but looked at, as released; and the action that skips them."""
        self._glass: Glass | None = None
        self._bias = spending.bias * model.costs.per_action(model.actions)  # [A]
        self.gmac = 0.0
        """Spent so far."""

    @torch.inference_mode()
    def push(self, frame: Frame | av.VideoFrame, seconds: float) -> Update:
        """Look at the next candidate frame that was not to be skipped.

        Args:
            frame: as decoded, or upright RGB pixels [H, W, 3] uint8.
            seconds: its time in the stream.
        """
        began = time.perf_counter()
        model, actions = self.model, self.model.actions
        if self._since >= self.reach:
            self._state, self._since, self._resting = model.network.policy.start(1), 0, 0
        features = model.networks.look(self._view(frame, actions.policy_size)[None])
        state, logits, own = model.network.policy.step(features, self._state)
        self.gmac += model.costs.policy
        if self._resting:
            self._state, self._resting = (self._state[0], state[1]), self._resting - 1
            return self._told(seconds, self._action, 1, began)
        self._state = state
        choose = most_probable(self._bias, self.spending.skip_above, actions.answers)
        action = int(choose(log_probabilities(logits).cpu(), 0).argmax())
        size = actions.size_of(action)
        if action < actions.own and size is not None:
            answer = model.networks.answer(action, self._view(frame, size)[None])[0].float().cpu()
            self._answers.append((self._number, answer))
            self.gmac += model.costs.backbones[action]
        elif size is not None or not self._answers:  # never without an answer: the policy's own is at hand
            self._answers.append((self._number, own[0].float().cpu()))
        dropped, self._action = max(1, actions.dropped_by(action)), action
        if model.network.rule == "official":
            self._resting, dropped = dropped - 1, 1
        return self._told(seconds, action, dropped, began)

    def _told(self, seconds: float, action: int, dropped: int, began: float) -> Update:
        """Leave as many candidates behind, and what those say that an answer still reaches back to."""
        self._number += dropped
        self._since += dropped
        while len(self._answers) > 1 and self._answers[0][0] <= self._number - 1 - self.reach:
            self._answers.popleft()
        mean = torch.stack([each for _, each in self._answers]).mean(dim=0) if self._answers else None
        probabilities = None if mean is None else self.model.probabilities(mean)
        return Update(seconds, action, dropped - 1, probabilities, time.perf_counter() - began)

    def _view(self, frame: Frame | av.VideoFrame, size: int) -> Frame:
        """Shape: -> [S, S, 3]."""
        if isinstance(frame, np.ndarray):
            return self._square(frame, size)
        stored = (frame.height, frame.width)
        if self._glass is None or self._glass.stored != stored:
            self._glass = self.model.networks.glass(stored, round(-frame.rotation / 90) % 4 * 90)
        return self._glass.view(frame, size)

    def _square(self, frame: Frame, size: int) -> Frame:
        """The central square of upright pixels, at a size."""
        options = self.model.options
        side = round(min(frame.shape[:2]) * options.crop)
        top, left = (frame.shape[0] - side) // 2, (frame.shape[1] - side) // 2
        square = np.ascontiguousarray(frame[None, top : top + side, left : left + side])
        if options.kernel != "area":  # those scale what the largest network sees
            square = shrink(square, max(options.sizes), "area")
        return shrink(square, size, options.kernel)[0]
