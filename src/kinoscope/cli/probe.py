"""``kinoscope probe``: what is in video files, and whether they can be read."""

from __future__ import annotations

from pathlib import Path

EXAMPLES = """\
  kinoscope probe videos/*.mp4
  kinoscope probe videos/ --full --json
"""


def run(files: list[Path], full: bool = False, json: bool = False) -> int:
    """Check videos: codec, size, true frame rate, rotation, duration, damage. Exit code 1 if any cannot be read.

    Args:
        files: Videos, or folders of videos.
        full: Decode every frame, to find damage inside.
        json: Print JSON instead of a table.
    """
    from dataclasses import asdict

    from ..progress import progress
    from ..video import ProbeReport, probe_video
    from .terminal import print_json, print_table

    paths = [path for source in files for path in _videos(source)]
    reports: list[ProbeReport] = []
    with progress("Probing", len(paths), quiet=len(paths) < 3) as report:
        for path in paths:
            reports.append(probe_video(path, full=full))
            report(1, path.name)
    if json:
        print_json([{**asdict(each), "path": str(each.path), "readable": each.readable} for each in reports])
    else:
        header = ("file", "codec", "size", "frames/s", "seconds", "frames", "turned", "audio", "remarks")
        print_table("", header, [_row(each) for each in reports])
    return 0 if all(each.readable for each in reports) else 1


def _videos(source: Path) -> list[Path]:
    """A folder's videos; anything else is probed as it is, so that its problem is told."""
    from ..data.segments import VIDEO_SUFFIXES

    if not source.is_dir():
        return [source]
    found = [path for path in sorted(source.rglob("*")) if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()]
    return found or [source]


def _row(report: object) -> tuple[object, ...]:
    from ..video import ProbeReport

    assert isinstance(report, ProbeReport)
    if not report.readable or report.size is None:
        return (str(report.path), "", "", "", "", "", "", "", f"unreadable: {report.error}")
    rate = f"{report.fps:.3f}" + (" (variable)" if report.variable_rate else "")
    remarks = [f"damaged: {report.damage}"] if report.damage else []
    if report.pixel_aspect is not None and report.pixel_aspect != 1:
        remarks.append(f"pixels {report.pixel_aspect:.3f} wide")
    return (
        str(report.path),
        report.codec,
        f"{report.size[1]}×{report.size[0]}",
        rate,
        f"{report.duration:.3f}",
        report.frames,
        f"{report.rotation}°" if report.rotation else "",
        "yes" if report.has_audio else "no",
        "; ".join(remarks),
    )
