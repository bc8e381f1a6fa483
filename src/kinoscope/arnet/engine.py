"""Looking at videos for real: what the policy skips is not decoded, and a frame is scaled to the size it is wanted at.

Several videos go on in step. The policy's network sees some frames of each at once, for a batch takes less time than
its frames one by one; frames of one resolution wait for each other too. What it has seen ahead and then skips was in
vain, so it looks further ahead only as long as nothing is skipped. With the rule ``official`` skipped frames leak into
the policy's memory, so all of them are looked at. The answers are those of the dense network (:mod:`.network`) to float
rounding, whatever goes on together.

Letters: T candidate frames, A actions, K classes, L backbones.

Source: AR-Net sheet, sections 2 (semantics), 10.1 (why nothing is saved in the released code) and 11.
"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import av
import numpy as np
import torch
from torch import Tensor

from ..errors import VideoError
from ..video import Video, open_video
from ..video.access import FramePicker
from ..video.sampling import FloatArray, IntArray
from ..video.scaling import Frame
from .candidates import candidates
from .costs import CostTable, Spent
from .gumbel import log_probabilities
from .network import Policy, State, StateRule, most_probable
from .networks import Networks
from .pixels import Glass
from .spending import DEFAULT, UNBOUND, Budget, Spending

DECODE, POLICY, PLAN = "decode", "policy", "plan"
_FULL = 16  # frames that are worth a batch
_GROWTH = 4  # of what the policy's network sees at once: small batches take hardly less time than their frames alone


Stop = Literal["settled", "budget"]


@dataclass(frozen=True)
class Job:
    """One video to be looked at."""

    path: Path
    name: str
    """Of the video; decides what is drawn where actions are sampled."""
    spending: Spending = DEFAULT
    budget: Budget = UNBOUND
    """Never exceeded: what would cost more than is left is not done."""
    part: tuple[float, float] | None = None
    """Seconds from and to, of the video."""
    planned: float = 0.0
    """Seconds that were spent on the plan already; they count."""


@dataclass(frozen=True)
class Step:
    """What was done with one candidate frame."""

    time: float
    """Of the frame, in seconds."""
    action: int | None
    """None: it was never reached, since the answer was settled or the budget spent before."""
    consulted: bool
    """Whether the policy looked at it."""
    logits: Tensor | None = None
    """Of the network that answered. Shape: [K]."""


@dataclass(frozen=True)
class Seen:
    """What came of one video."""

    logits: Tensor
    """Mean over the frames that were answered. Shape: [K], float32."""
    steps: tuple[Step, ...]
    """Of every candidate. Shape: [T]."""
    spent: Spent
    guarded: bool = False
    """Every frame was skipped, and the policy's own answer to the last one it saw was taken."""
    damage: tuple[str, ...] = ()
    stopped: Stop | None = None
    """Why the last frames were not looked at; None: it came to the end."""


@dataclass
class _Course:
    """A video on its way."""

    job: Job
    video: Video
    picker: FramePicker
    glass: Glass
    positions: IntArray
    state: State
    began: float
    at: int = 0
    ahead: dict[int, tuple[av.VideoFrame, Tensor]] = field(default_factory=dict)
    """Candidate that is still to be decided -> the frame, and the policy's features of it [C]."""
    window: int = 1
    """Frames to look at together next time: more after each time without a skip, one after a skip."""
    in_vain: int = 0
    """Frames that were looked at ahead and then dropped by a skip."""
    looked: int = 0
    """Frames that the policy's memory took in."""
    resting: int = 0
    """Frames that are still skipped, but looked at."""
    asked: dict[int, int] = field(default_factory=dict)
    """Candidate -> the action that was chosen at it."""
    answers: dict[int, Tensor] = field(default_factory=dict)
    """Candidate -> logits [K]."""
    waiting: int = 0
    """Frames whose answers are still to come."""
    total: Tensor | None = None
    last: Tensor | None = None
    """The policy's own answer to the frame it saw last. Shape: [K]."""
    gmac: float = 0.0
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    over: bool = False
    stopped: Stop | None = None
    failed: VideoError | None = None

    @property
    def hasty(self) -> bool:
        """Whether what comes next depends on every answer, so that none may wait."""
        return self.job.spending.exit_above is not None or self.job.budget.seconds is not None

    @property
    def ahead_at_most(self) -> int:
        """Frames that may be looked at together: one where nothing may be computed that is not needed in the end."""
        return 1 if self.hasty or self.job.budget.gmac is not None else self.window

    def move_on(self, count: int) -> None:
        """Leave ``count`` candidates behind."""
        self.at += count
        for passed in [at for at in self.ahead if at < self.at]:
            del self.ahead[passed]
            self.in_vain += 1
        if count > 1:
            self.window = 1
        elif not self.ahead:
            self.window = min(_FULL, _GROWTH * self.window)
        self.over = self.at >= len(self.positions)

    @contextmanager
    def clock(self, what: str) -> Iterator[None]:
        """Count the time inside as spent on ``what``."""
        begin = time.perf_counter()
        yield
        self.seconds[what] += time.perf_counter() - begin

    @property
    def elapsed(self) -> float:
        return time.perf_counter() - self.began


Waiting = dict[int, list[tuple[_Course, int, Frame]]]
"""Backbone -> frames that wait for it: whose, which candidate, its pixels [S, S, 3]."""


class Engine:
    """Looks at videos through the networks of one model.

    Args:
        policy: decides.
        networks: compute; see :class:`.networks.Networks`.
        costs: of a frame.
        segments: T where a job says nothing.
        temperature: logits are divided by it before an early exit looks at probabilities.
        rule: see :data:`.network.StateRule`.
    """

    def __init__(
        self,
        policy: Policy,
        networks: Networks,
        costs: CostTable,
        segments: int,
        temperature: float = 1.0,
        rule: StateRule = "clean",
    ) -> None:
        self.policy, self.networks, self.costs = policy, networks, costs
        self.actions, self.segments, self.temperature = networks.actions, segments, temperature
        self.rule = rule
        self._per_action = costs.per_action(self.actions)  # [A]

    @torch.inference_mode()
    def run(self, jobs: Sequence[Job]) -> list[Seen | VideoError]:
        """Look at some videos together; one that cannot be read gives its error and does not disturb the others."""
        began, found = time.perf_counter(), dict[int, Seen | VideoError]()
        with ExitStack() as stack:
            courses: dict[int, _Course] = {}
            for number, job in enumerate(jobs):
                try:
                    courses[number] = self._begin(job, stack)
                except VideoError as error:
                    found[number] = error
            self._go(list(courses.values()))
        took = time.perf_counter() - began
        counted = sum(sum(course.seconds.values()) - course.job.planned for course in courses.values())
        for number, course in courses.items():
            share = (sum(course.seconds.values()) - course.job.planned) / max(counted, 1e-9)
            found[number] = course.failed or self._end(course, took * share + course.job.planned)
        return [found[number] for number in range(len(jobs))]

    def _go(self, courses: list[_Course]) -> None:
        waiting: Waiting = defaultdict(list)
        while going := [course for course in courses if not course.over]:
            self._round(going, waiting)
            hasty = any(course.hasty for course in going)
            for number, frames in waiting.items():
                if hasty or len(frames) >= _FULL:
                    self._answer(number, frames)
            for course in going:
                self._stop_if_settled(course)
        for number, frames in waiting.items():
            self._answer(number, frames)

    # ---- one video ---------------------------------------------------------------------------------------------------

    def _begin(self, job: Job, stack: ExitStack) -> _Course:
        began = time.perf_counter() - job.planned
        video = stack.enter_context(open_video(job.path))
        positions = candidates(video, job.spending.frames or self.segments, job.part)
        glass = self.networks.glass(video.stored_size, video.rotation)
        picker = stack.enter_context(video.picker())
        course = _Course(job, video, picker, glass, positions, self.policy.start(1), began)
        course.seconds[DECODE] += course.elapsed - job.planned
        if job.planned:
            course.seconds[PLAN] = job.planned
        return course

    def _round(self, going: list[_Course], waiting: Waiting) -> None:
        """The policy decides on the next frame of every video, and what it chooses is done or set down to be done."""
        going = [course for course in going if self._can_afford_a_look(course)]
        asking = [course for course in going if not course.job.spending.dense]
        self._look([course for course in asking if course.at not in course.ahead], max(1, _FULL // max(1, len(going))))
        if asking := [course for course in asking if course.failed is None]:
            self._decide(asking, waiting)
        for course in going:
            if course.job.spending.dense and (frame := self._pick(course, course.at)) is not None:
                self._do(course, 0, frame, waiting)

    def _pick(self, course: _Course, at: int) -> av.VideoFrame | None:
        """Decode a candidate. None if it cannot be, and then the video has failed if it has come to it."""
        try:
            with course.clock(DECODE):
                return course.picker(int(course.positions[at]))
        except VideoError as error:
            if at == course.at:
                course.failed, course.over = error, True
            return None

    def _look(self, courses: list[_Course], most: int) -> None:
        """The policy's network looks at the next frames of some videos at once, at up to ``most`` of each."""
        seen: list[tuple[_Course, int, av.VideoFrame]] = []
        views: list[Frame] = []
        for course in courses:
            end = course.at + min(course.ahead_at_most, most)
            for at in range(course.at, min(end, len(course.positions))):
                if (frame := self._pick(course, at)) is None:
                    break
                with course.clock(DECODE):
                    views.append(course.glass.view(frame, self.actions.policy_size))
                seen.append((course, at, frame))
        if not seen:
            return
        begin = time.perf_counter()
        features = self.networks.look(np.stack(views))  # [V, C]
        took = (time.perf_counter() - begin) / len(seen)
        for (course, at, frame), row in zip(seen, features, strict=True):
            course.ahead[at] = (frame, row)
            course.seconds[POLICY] += took
            course.gmac += self.costs.policy

    def _decide(self, going: list[_Course], waiting: Waiting) -> None:
        begin = time.perf_counter()
        seen = [course.ahead.pop(course.at) for course in going]
        features = torch.stack([row for _, row in seen])  # [V, C]
        state = tuple(torch.cat([course.state[part] for course in going]) for part in (0, 1))
        (hidden, cell), logits, own = self.policy.step(features, (state[0], state[1]))
        log_probs, own = log_probabilities(logits).cpu(), own.float().cpu()
        took = (time.perf_counter() - begin) / len(going)
        for number, (course, (frame, _)) in enumerate(zip(going, seen, strict=True)):
            course.seconds[POLICY] += took
            course.looked += 1
            one = slice(number, number + 1)
            if course.resting:  # what leaks is the memory's cell
                course.state = (course.state[0], cell[one])
                course.resting -= 1
                course.move_on(1)
                continue
            course.state, course.last = (hidden[one], cell[one]), own[number]
            action = self._choose(course, log_probs[number])
            self._do(course, action, frame, waiting)

    def _do(self, course: _Course, action: int, frame: av.VideoFrame, waiting: Waiting) -> None:
        at, size = course.at, self.actions.size_of(action)
        course.asked[at] = action
        if action < self.actions.own:
            assert size is not None
            with course.clock(DECODE):
                waiting[action].append((course, at, course.glass.view(frame, size)))
            course.waiting += 1
            course.gmac += self.costs.backbones[action]
        elif size is not None:
            assert course.last is not None
            self._take(course, at, course.last)
        dropped = max(1, self.actions.dropped_by(action))
        if self.rule == "official":
            course.resting, dropped = dropped - 1, 1
        course.move_on(dropped)

    def _choose(self, course: _Course, log_probs: Tensor) -> int:
        """The action for the frame at hand, among those that can still be paid. Shape: [A]."""
        spending, scores = course.job.spending, log_probs[None]
        if spending.sample is not None:
            scores = scores + _drawn(spending.sample, course.job.name, course.at, self.actions.count)
        too_dear = self._too_dear(course)  # [A]
        bias = spending.bias * self._per_action + torch.where(too_dear, torch.inf, 0.0)
        choose = most_probable(bias, spending.skip_above, self.actions.answers)
        return int(choose(scores, course.at).argmax())

    def _too_dear(self, course: _Course) -> Tensor:
        """Which actions would break the budget. Shape: [A], bool."""
        budget = course.job.budget
        too_dear = torch.zeros(self.actions.count, dtype=torch.bool)
        if budget.gmac is not None:
            too_dear |= course.gmac + self._per_action > budget.gmac * (1 + 1e-9)
        if budget.seconds is not None:
            ahead = torch.tensor([self.networks.latency(number) for number in range(self.actions.own)])
            too_dear[: self.actions.own] |= course.elapsed + ahead > budget.seconds
        return too_dear

    def _can_afford_a_look(self, course: _Course) -> bool:
        """Whether the policy may be asked once more; else the video is over. The first look is never refused."""
        budget, looks = course.job.budget, course.looked
        if looks == 0:
            return True
        if budget.gmac is not None and course.gmac + self.costs.policy > budget.gmac * (1 + 1e-9):
            course.over = True
        if budget.seconds is not None:
            look = (course.seconds[POLICY] + course.seconds[DECODE]) / looks
            course.over = course.over or course.elapsed + look > budget.seconds
        course.stopped = "budget" if course.over else None
        return not course.over

    def _stop_if_settled(self, course: _Course) -> None:
        exit_above = course.job.spending.exit_above
        if exit_above is None or not course.answers or course.over or course.waiting:
            return
        assert course.total is not None
        mean = course.total / len(course.answers)
        course.over = float((mean / self.temperature).softmax(dim=0).max()) > exit_above
        course.stopped = "settled" if course.over else None

    # ---- answers -----------------------------------------------------------------------------------------------------

    def _answer(self, number: int, frames: list[tuple[_Course, int, Frame]]) -> None:
        """Let a backbone answer all frames that wait for it."""
        if not frames:
            return
        begin = time.perf_counter()
        logits = self.networks.answer(number, np.stack([view for _, _, view in frames])).float().cpu()  # [N, K]
        took = (time.perf_counter() - begin) / len(frames)
        for (course, at, _), row in zip(frames, logits, strict=True):
            course.seconds[self.networks.names[number]] += took
            course.waiting -= 1
            self._take(course, at, row)
        frames.clear()

    def _take(self, course: _Course, at: int, logits: Tensor) -> None:
        course.answers[at] = logits
        course.total = logits.clone() if course.total is None else course.total + logits

    def _end(self, course: _Course, seconds: float) -> Seen:
        guarded = not course.answers and course.job.spending.guard
        if guarded:
            assert course.last is not None
            course.answers[max(course.asked)] = course.last
        rows = [course.answers[at] for at in sorted(course.answers)]  # in the order of time, whatever came first
        logits = torch.stack(rows).mean(dim=0) if rows else torch.zeros(self.policy.last.out_features)
        used = [0] * self.actions.answers
        for at in course.answers:
            action = course.asked[at]
            used[min(action, self.actions.own)] += 1
        spent = Spent(
            candidates=len(course.positions),
            consulted=course.looked,
            used=tuple(used),
            in_vain=course.in_vain,
            decoded=course.picker.decoded,
            gmac=course.gmac,
            seconds=dict(course.seconds),
            total_seconds=seconds,
        )
        damage = (course.video.damage,) if course.video.damage else ()
        return Seen(logits, self._steps(course), spent, guarded, damage, course.stopped)

    def _steps(self, course: _Course) -> tuple[Step, ...]:
        times: FloatArray = course.video.times[course.positions]
        found, action = [], None
        for at, moment in enumerate(times.tolist()):
            asked = at in course.asked
            if asked:
                action = course.asked[at]
            reached = asked or (action is not None and at < course.at)
            consulted = asked and not course.job.spending.dense
            found.append(Step(moment, action if reached else None, consulted, course.answers.get(at)))
        return tuple(found)


def _drawn(seed: int, name: str, frame: int, count: int) -> Tensor:
    """Gumbel noise for one decision, the same whatever else is looked at. Shape: [A]."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    rng = np.random.default_rng([seed, int.from_bytes(digest[:8], "little"), frame])
    return torch.from_numpy(rng.gumbel(size=count)).float()
