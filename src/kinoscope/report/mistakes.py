"""The worst mistakes of a recogniser on held-out videos, and which classes it confuses: one HTML file, no script.

A look at the mistakes tells more than the accuracy: labels that are wrong, classes that nobody could tell apart, a
camera that gives the answer away. During training the page is written again after each validation.
Letters: V held-out videos, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluate.clip_scores import ClipScores, share_interval
from ..files import write_text
from .chart import chart_figure
from .confusion import class_table, confusion_section
from .content import Chart, Thumbnail
from .html import clock, text
from .marks import share_bar, video_link
from .media import image_uri
from .page import scriptless_page, styles

_UNSURE = 10  # right answers with the smallest lead
_TOP = 5

Strip = Callable[[int], Sequence[Thumbnail]]
"""A few pictures of a held-out video, by its number; none where it cannot be read (see ``strips.py``)."""


@dataclass(frozen=True)
class MistakesPage:
    """What the page shows."""

    title: str
    videos: Sequence[str]
    """Names of the held-out videos. Shape: [V]."""
    scores: ClipScores
    """Their probabilities and true labels."""
    strip: Strip | None = None
    """Asked only for the mistakes that are shown; None shows no pictures."""
    paths: Sequence[Path | None] = ()
    """The videos' files, which are linked. Shape: [V], or empty."""
    most: int = 100
    """Mistakes that are shown with pictures, at most; the surest come first."""
    charts: Sequence[Chart] = ()
    """How the training went: :func:`kinoscope.report.training.training_charts`."""
    notes: Sequence[str] = ()
    """What a reader must know."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What made the page: command, model, versions, date."""

    def __post_init__(self) -> None:
        count = len(self.scores.labels)
        if len(self.videos) != count or (self.paths and len(self.paths) != count):
            raise ValueError(f"{len(self.videos)} names and {len(self.paths)} paths for {count} scored videos")


def write_mistakes_page(path: str | Path, page: MistakesPage) -> None:
    """Write ``page`` as one HTML file, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    write_text(path, render_mistakes_page(page, folder=Path(path).parent))


def render_mistakes_page(page: MistakesPage, *, folder: Path | None = None) -> str:
    """The page's HTML; links are relative to ``folder``, where it will lie (the working directory when not given)."""
    count, classes = len(page.videos), page.scores.classes
    charts = "\n".join(chart_figure(index, chart) for index, chart in enumerate(page.charts))
    parts = [f'<div class="charts">{charts}</div>'] if charts else []
    if count:
        table = page.scores.confusion()
        answers = _Answers(page, folder)
        classwise = page.scores.per_class()
        parts = [answers.tiles(classwise), *parts, confusion_section(table, classes), class_table(classwise, table)]
        parts += [answers.mistakes(), answers.unsure()]
    else:
        parts.append('<p class="empty">No video was held out: there is nothing to be wrong about.</p>')
    return scriptless_page(
        page.title,
        f"{count:,} held-out video{'' if count == 1 else 's'} · {len(classes):,} classes",
        "\n".join(parts),
        style=styles("charts", "filmstrip", "mistakes"),
        notes=page.notes,
        settings=page.settings,
    )


class _Answers:
    """The answers of a page, sorted once: which are wrong, how sure they were, which were nearly wrong."""

    def __init__(self, page: MistakesPage, folder: Path | None) -> None:
        self.page, self.folder = page, folder
        probabilities, truth = page.scores.probabilities, page.scores.labels
        ranking = page.scores.ranking  # [V, K]
        rows = np.arange(len(truth))
        self.answer = ranking[:, 0]  # [V]
        self.sureness = probabilities[rows, self.answer]
        self.of_truth = probabilities[rows, truth]
        self.place = (ranking == truth[:, None]).argmax(axis=1) + 1  # of the truth among the answers, from 1
        self.second = ranking[:, min(1, ranking.shape[1] - 1)]
        self.lead = self.sureness - probabilities[rows, self.second]
        self.hits = self.place == 1
        wrong, right = np.flatnonzero(~self.hits), np.flatnonzero(self.hits)
        self.wrong = wrong[np.argsort(-self.sureness[wrong], kind="stable")]
        self.nearly = right[np.argsort(self.lead[right], kind="stable")][:_UNSURE]

    def tiles(self, classwise: Sequence[Mapping[str, Any]]) -> str:
        """The few numbers that one looks for first."""
        low, high = share_interval(int(self.hits.sum()), len(self.hits))
        between = f"95 % interval {_range(low, high)}"
        tiles = [("accuracy", _percent(self.hits.mean()), between)]
        if len(self.page.scores.classes) > 2 * _TOP:
            tiles.append(
                (f"top-{_TOP}", _percent((self.place <= _TOP).mean()), "the truth among the five most probable")
            )
        share = [row["accuracy"] for row in classwise if row["accuracy"] is not None]
        tiles.append(("mean over classes", _percent(float(np.mean(share))), f"{len(share)} classes with videos"))
        tiles.append(('<a href="#mistakes">mistakes</a>', f"{len(self.wrong):,}", f"of {len(self.hits):,} videos"))
        items = "".join(f"<div><dt>{name}</dt><dd>{value}</dd><dd>{note}</dd></div>" for name, value, note in tiles)
        return f'<dl class="tiles">{items}</dl>'

    def mistakes(self) -> str:
        """The mistakes, the surest first."""
        if not len(self.wrong):
            none = f"No mistake: all {len(self.hits):,} videos were answered right."
            return f'<p class="card empty" id="mistakes">{none}</p>'
        shown = self.wrong[: self.page.most].tolist()
        cards = "\n".join(self._mistake(video) for video in shown)
        hint = "The surest first: an answer that is sure and wrong is a label to check, or something to learn."
        if len(shown) < len(self.wrong):
            hint = f"The {len(shown)} surest of {len(self.wrong):,}. {hint}"
        head = f'<h2>Mistakes</h2><p class="hint">{hint}</p>'
        return f'<section id="mistakes">{head}<ol class="mistakes">\n{cards}\n</ol></section>'

    def unsure(self) -> str:
        """What was right by the smallest lead."""
        names = self.page.scores.classes
        if not len(self.nearly) or len(names) < 2:
            return ""
        rows = "\n".join(
            f"<tr><td>{self._name(video)}</td><td><bdi>{text(names[self.answer[video]])}</bdi></td>"
            f'<td class="num">{self.sureness[video]:.3f}</td><td><bdi>{text(names[self.second[video]])}</bdi></td>'
            f'<td class="num">{self.sureness[video] - self.lead[video]:.3f}</td></tr>'
            for video in self.nearly.tolist()
        )
        number = '<th scope="col" class="num">Probability</th>'
        header = f'<th scope="col">Video</th><th scope="col">Answer</th>{number}<th scope="col">Next</th>{number}'
        return (
            '<section class="card"><h2>Right, but barely</h2><div class="wide" tabindex="0" role="group" '
            f'aria-label="Right, but barely"><table><thead><tr>{header}</tr></thead><tbody>\n{rows}\n'
            "</tbody></table></div></section>"
        )

    def _mistake(self, video: int) -> str:
        names, truth = self.page.scores.classes, int(self.page.scores.labels[video])
        answered = _row("answer", names[self.answer[video]], self.sureness[video], "")
        was = _row("truth", names[truth], self.of_truth[video], "right")
        verdict = f'<table class="verdict"><tbody>{answered}{was}</tbody></table>'
        place = f'<p class="hint">The truth was answer {self.place[video]}.</p>' if self.place[video] > 2 else ""
        return f'<li class="card">{self._film(video)}<h3>{self._name(video)}</h3>{verdict}{place}</li>'

    def _film(self, video: int) -> str:
        if self.page.strip is None:
            return ""
        pictures = "".join(
            f'<img src="{image_uri(each.jpeg)}" alt="{text(f"at {clock(each.time)}")}" title="{clock(each.time)}" '
            'decoding="async">'
            for each in self.page.strip(video)
        )
        return f'<div class="film">{pictures}</div>' if pictures else '<div class="film blank">no picture</div>'

    def _name(self, video: int) -> str:
        path = self.page.paths[video] if self.page.paths else None
        return video_link(self.page.videos[video], path, self.folder)


def _row(kind: str, label: str, probability: float, colour: str) -> str:
    return (
        f'<tr><th scope="row">{kind}</th><td><bdi>{text(label)}</bdi></td>'
        f'<td class="share-cell">{share_bar(probability, colour)}</td><td class="num">{probability:.3f}</td></tr>'
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _range(low: float, high: float) -> str:
    return f"{100 * low:.1f} – {100 * high:.1f} %"
