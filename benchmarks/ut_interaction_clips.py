"""UT-Interaction as labelled clips: six interactions of two people, recorded at two places.

    python -m benchmarks.ut_interaction_clips LABELS.csv [--sets 1 2] [--train 1]

writes a table for ``kinoscope train recognize LABELS.csv --videos FOLDER --groups '_(\\d+)_'``: set 1 is marked train
and set 2 test (the hard split: another place and background). Inside a set the official protocol leaves one sequence
out at a time: ``folds(ut_interaction_clips(sets=(1,)), by="group")``.

Source: Ryoo and Aggarwal, UT-Interaction (ICPR contest SDHA, 2010).
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Sequence
from pathlib import Path

from benchmarks.results import data_folder
from kinoscope.data.labelled_clips import LabelledClip, LabelledClips
from kinoscope.files import write_text

CLASSES = ("shake hands", "hug", "kick", "point", "punch", "push")


def ut_interaction_clips(folder: Path | None = None, *, sets: Sequence[int] = (1, 2), train: int = 1) -> LabelledClips:
    """The clips of the sets; groups are sequences, which share place, people and camera.

    Args:
        folder: holds ``set1/`` and ``set2/`` with files ``index_sequence_class.avi``; else the real data.
        train: the set in the subset ``train``; the other is ``test``.
    """
    folder = folder or data_folder() / "ut_interaction"
    clips = [_clip(path, number, train) for number in sets for path in (folder / f"set{number}").glob("*.avi")]
    return LabelledClips(tuple(sorted(clips, key=lambda clip: clip.name)), folder)


def _clip(path: Path, number: int, train: int) -> LabelledClip:
    _, sequence, kind = map(int, path.stem.split("_"))
    subset = "train" if number == train else "test"
    name = f"set{number}/{path.stem}"
    return LabelledClip(name, path, CLASSES[kind], subset=subset, group=f"sequence {sequence}")


def write_table(path: Path, labelled: LabelledClips) -> None:
    """The clips as ``video,label,split``, the way a user would give them."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["video", "label", "split"])
    rows.writerows([f"{clip.name}{clip.path.suffix}", clip.label, clip.subset] for clip in labelled.clips)
    write_text(path, text.getvalue())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", type=int, nargs="+", choices=(1, 2), default=(1, 2))
    parser.add_argument("--train", type=int, choices=(1, 2), default=1)
    asked = parser.parse_args()
    write_table(asked.out, ut_interaction_clips(sets=asked.sets, train=asked.train))
