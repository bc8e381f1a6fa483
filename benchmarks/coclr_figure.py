"""The figure of ``benchmarks.coclr``: how the positives that the streams mine for each other become purer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from kinoscope.files import write_text

_WIDTH, _HEIGHT, _LEFT, _TOP = 760, 300, 46, 16
_COLOURS = {"flow mines for RGB": "#c2410c", "RGB mines for flow": "#1d4ed8"}
_POINTS = 24  # per run: means of neighbouring values


def draw_precision(path: Path, curves: Mapping[str, Sequence[Sequence[float]]]) -> None:
    """One panel per run of the schedule, in its order; a thin line per seed, a thick one for their mean."""
    panel = _WIDTH / len(curves)
    parts = [_panel(name, seeds, _LEFT + i * panel, panel - 14) for i, (name, seeds) in enumerate(curves.items())]
    ticks = "".join(
        f'<line x1="{_LEFT}" x2="{_LEFT + _WIDTH - 14}" y1="{_y(v)}" y2="{_y(v)}" stroke="#8884"/>'
        f'<text x="{_LEFT - 6}" y="{_y(v) + 4}" text-anchor="end">{100 * v:.0f} %</text>'
        for v in (0, 0.2, 0.4, 0.6, 0.8, 1)
    )
    write_text(
        path,
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH} {_HEIGHT + 56}" '
        'font-family="sans-serif" font-size="12" fill="#777" role="img" '
        'aria-label="Share of mined positives of the right class, run by run">'
        f"{ticks}{''.join(parts)}</svg>\n",
    )


def _panel(name: str, seeds: Sequence[Sequence[float]], left: float, width: float) -> str:
    cycle, miner = name.split(": ")
    smooth = [np.asarray([part.mean() for part in np.array_split(np.asarray(each), _POINTS)]) for each in seeds]
    lines = "".join(_line(each, left, width, _COLOURS[miner], 1) for each in smooth)
    lines += _line(np.mean(smooth, axis=0), left, width, _COLOURS[miner], 3)
    middle = left + width / 2
    return (
        f'{lines}<text x="{middle}" y="{_HEIGHT + 34}" text-anchor="middle">{miner}</text>'
        f'<text x="{middle}" y="{_HEIGHT + 50}" text-anchor="middle">{cycle}</text>'
    )


def _line(values: np.ndarray, left: float, width: float, colour: str, thick: int) -> str:
    across = np.linspace(left, left + width, len(values))
    points = " ".join(f"{x:.1f},{_y(float(y))}" for x, y in zip(across, values, strict=True))
    opacity = 1 if thick > 1 else 0.45
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{thick}" opacity="{opacity}"/>'


def _y(value: float) -> float:
    return round(_TOP + (1 - value) * (_HEIGHT - _TOP), 1)
