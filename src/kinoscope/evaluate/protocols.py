"""What is counted under which name: thresholds, part of the data, and the rules on which published evaluators differ.

Source: ``evaluation.md`` sections 1.2–1.4. Thresholds are decimal literals, because ``linspace(0.3, 0.7, 5)[1]`` is
0.39999999999999997 and calls a segment with a tIoU of exactly 0.4 right.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from typing import Any, Literal

from ..data.annotations_checks import OnFlaw
from ..errors import OptionError
from .matching import TieRule

_TO_95 = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
_TO_90 = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_TO_70 = (0.3, 0.4, 0.5, 0.6, 0.7)
_TO_50 = (0.1, 0.2, 0.3, 0.4, 0.5)


@dataclass(frozen=True)
class Protocol:
    """One way of scoring temporal localisation."""

    name: str
    thresholds: tuple[float, ...]
    """tIoU from which a prediction is right; the headline is the mean over all of them."""
    subsets: tuple[str, ...]
    """Parts of the ground truth to score: the first one that the file knows. Empty: everything."""
    remove_duplicates: bool = False
    """Before scoring drop true segments of no length, and those within 1 ms of a kept one of their class (OpenTAD)."""
    on_flaw: OnFlaw = "keep"
    """How the ground truth is read: published files are taken as they are, one's own must be flawless."""
    ties: TieRule = "content"
    """Order of equal scores; see :func:`~kinoscope.evaluate.matching.rank_predictions`."""
    tolerance: float = 0.0
    """A prediction is right from threshold - tolerance on; 1e-9 would forgive rounding, the published value is 0."""
    max_per_video: int | None = None
    """Score only so many of the best predictions of each video; the published evaluators score all."""
    ignored_labels: tuple[str, ...] = ()
    """Labels in the ground truth that are not classes."""
    blocked: tuple[str, ...] = ()
    """Names of videos that do not count: dropped from ground truth and predictions, as OpenTAD does by a list."""
    listed: int | None = None
    """Videos of the list that papers mean by this name; another number at hand is told. None: any list."""
    other_subsets: Literal["wrong", "ignore"] = "wrong"
    """Predictions on videos of other subsets: wrong, as in the published evaluators, or not looked at."""
    match_folders: bool = False
    """Take a predicted ``new`` for ``videos/new`` of the ground truth where no other video can be meant."""

    def __post_init__(self) -> None:
        if not self.thresholds or not all(0 < threshold <= 1 for threshold in self.thresholds):
            raise OptionError(f"thresholds are {self.thresholds}, but must lie above 0 and not above 1")
        if self.max_per_video is not None and self.max_per_video < 1:
            raise OptionError(f"max_per_video is {self.max_per_video}, but must be at least 1, or None for all")
        if isinstance(self.blocked, str) or not all(isinstance(name, str) and name.strip() for name in self.blocked):
            cure = "give the names of videos as the ground truth writes them, as a tuple"
            raise OptionError(f"blocked is {self.blocked!r}"[:200] + ", but must be names of videos", cure=cure)
        object.__setattr__(self, "blocked", tuple(dict.fromkeys(self.blocked)))

    def to_dict(self) -> dict[str, Any]:
        """Everything that fixes the number, for result files."""
        return asdict(self)


_THUMOS14 = Protocol("thumos14", _TO_70, ("test",), remove_duplicates=True, ignored_labels=("Ambiguous",))

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        # ActivityNet 1.3: the official script keeps every annotation.
        Protocol("activitynet", _TO_95, ("validation",)),
        # THUMOS14: 20 classes, "Ambiguous" is none of them. The videos are those of the file, whichever list that is.
        _THUMOS14,
        # Its annotation names 213 videos; one has nothing but "Ambiguous". Without it 212 videos, 3,358 instances.
        replace(_THUMOS14, name="thumos14-212", blocked=("video_test_0001292",), listed=212),
        # The list of G-TAD's evaluator: 210 videos, 3,311 instances. Its own file lacks these videos already.
        replace(
            _THUMOS14,
            name="thumos14-gtad",
            blocked=("video_test_0000270", "video_test_0001292", "video_test_0001496"),
            listed=210,
        ),
        # MultiTHUMOS: 65 classes; its JSON calls THUMOS14's test part validation, the release itself test.
        Protocol("multithumos", _TO_90, ("test", "validation"), remove_duplicates=True),
        Protocol("charades", _TO_90, ("test", "validation"), remove_duplicates=True),
        # HACS Segments: its ground truth holds segments of no length.
        Protocol("hacs", _TO_95, ("validation",), remove_duplicates=True),
        Protocol("fineaction", _TO_95, ("validation",), remove_duplicates=True),
        # EPIC-Kitchens-100: verbs (97) and nouns (300) are scored each by itself.
        Protocol("epic-kitchens", _TO_50, ("validation",), remove_duplicates=True),
        # Ego4D's Moment Queries: the mAP of it; its headline, Recall@1x at 0.5, is another measure.
        Protocol("ego4d-mq", _TO_50, ("validation",), remove_duplicates=True),
        # One's own data: the part kept for testing if the file has one, and no excuses for flawed ground truth.
        Protocol(
            "own",
            _TO_70,
            ("test", "validation"),
            remove_duplicates=True,
            on_flaw="error",
            other_subsets="ignore",
            match_folders=True,
        ),
    )
}


def list_protocols() -> list[str]:
    """Names that :func:`get_protocol` knows."""
    return sorted(PROTOCOLS)


def get_protocol(protocol: str | Protocol) -> Protocol:
    """The protocol of this name; a :class:`Protocol` (``dataclasses.replace`` makes variants) is given back.

    Raises:
        OptionError: no such name.
    """
    if isinstance(protocol, Protocol):
        return protocol
    if protocol.lower() in PROTOCOLS:
        return PROTOCOLS[protocol.lower()]
    guess = get_close_matches(protocol.lower(), PROTOCOLS, n=1)
    known = f"{', '.join(list_protocols())}; and gebd for boundaries"
    cure = f"did you mean {guess[0]}? Known: {known}" if guess else f"known: {known}"
    raise OptionError(f"there is no protocol {protocol!r}", cure=cure)
