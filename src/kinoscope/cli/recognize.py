"""``kinoscope recognize``: the most probable labels of whole videos."""

from __future__ import annotations

from pathlib import Path

from ..encoders.sampling import Runtime
from ..errors import KinoscopeError, OptionError

EXAMPLES = """\
  kinoscope recognize clip.mp4
  kinoscope recognize videos/ -k 1 --json
"""
SHORT = {"top": "-k"}


def run(
    files: list[Path],
    top: int = 5,
    json: bool = False,
    encoder: str = "i3d-k400",
    clips: int = 10,
    size: int | None = None,
    device: str = "auto",
    runtime: Runtime = "auto",
) -> int:
    """Tell what whole videos show: the most probable of the encoder's classes (Kinetics-400).

    Args:
        files: Videos, or folders of videos.
        top: How many labels are shown per video.
        json: Print JSON instead of tables.
        encoder: An encoder that knows classes.
        clips: Most clips of 2.56 s that are looked at, spread evenly over the video.
        size: Pixels of the central square, if not the encoder's own.
        device: cpu, cuda, ...; auto takes a GPU if there is one.
        runtime: What computes on a CPU; auto takes OpenVINO if it is installed.
    """
    from ..encoders import load_encoder
    from ..encoders.recognize import recognize
    from ..progress import progress
    from .outputs import named_videos
    from .terminal import note, print_json, print_table

    if top < 1:
        raise OptionError(f"top is {top}, but must be at least 1")
    videos = named_videos(files)
    loaded = load_encoder(encoder, device=device, runtime=runtime)
    classes = loaded.spec.classes()
    results: dict[str, list[dict[str, object]]] = {}
    failed: dict[Path, KinoscopeError] = {}
    with progress("Recognising", len(videos)) as report:
        for name, path in videos.items():
            try:
                probabilities = recognize(path, loaded, clips=clips, size=size)
            except OptionError:
                raise
            except KinoscopeError as error:
                failed[path] = error
            else:
                best = (-probabilities).argsort(kind="stable")[:top]
                results[name] = [{"label": classes[k], "score": float(probabilities[k])} for k in best]
            report(1, name)
    if not results:
        raise next(iter(failed.values()))
    if json:
        print_json({"results": results})
    else:
        for name, rows in results.items():
            print_table(name, ("label", "probability"), [(row["label"], row["score"]) for row in rows])
    for path, problem in failed.items():
        note(f"failed: {path}: {problem.problem}")
    return 2 if failed else 0
