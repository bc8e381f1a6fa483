"""GTEA, 50 Salads and their like: a label for every frame, and lists of splits.

As MS-TCN publishes them: ``groundTruth/S1_Cheese_C1.txt`` with a label in each line, ``splits/train.split1.bundle``
with a file name in each line, ``mapping.txt`` with ``0 take``. As TCN's features are re-packed: ``features/*.npz`` with
``label``, a number for every row, and ``splits/train.split1.txt``; there 0 is the background. Also a plain folder of
text files, as predictions come.

Sources: Farha and Gall, MS-TCN (CVPR 2019); Lea et al., Temporal convolutional networks (CVPR 2017).
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import AnnotationError, OptionError
from ...wording import plural, some_of
from ..annotations_text import nearest, read_text
from ..classes import read_classes
from ..dataset_choice import FrameChoice
from ..frame_labels import FrameLabels
from .split_lists import text_lines

_SUBSETS = ("train", "test")
_SUFFIXES = (".bundle", ".txt")
_MAPPING = "mapping.txt"
_EXPECTED = "give the folder that holds groundTruth/ with a text file per video, or features/ with .npz files"


def label_files(source: Path) -> list[Path]:
    """The files with labels of frames in a folder of this layout, sorted; none in any other."""
    if not source.is_dir():
        return []
    for pattern in ("groundTruth/*.txt", "features/*.npz", "*.npz"):
        if found := [path for path in sorted(source.glob(pattern)) if not path.name.startswith(".")]:
            return found
    return []


def read_frame_labels(source: str | Path, choice: FrameChoice) -> FrameLabels:
    """The labels of all frames of a data set.

    Args:
        source: its folder, or a plain folder with a text file for each video.
        choice: which data set, at which rate, in which split.

    Raises:
        AnnotationError: another layout; labels that are missing or not in ``mapping.txt``; lists that name videos
            without labels, or one video for training and for test.
        OptionError: a rate that is not known, or no such split.
    """
    source = Path(source)
    files = label_files(source)
    if not files and source.is_dir():
        files = [path for path in sorted(source.glob("*.txt")) if path.name != _MAPPING]
    if not files:
        raise AnnotationError("holds no labels of frames", where=source, cure=_EXPECTED)
    fps = choice.rate(repacked=files[0].suffix == ".npz")
    classes = read_classes(source / _MAPPING) if (source / _MAPPING).is_file() else ()
    labels = {path.stem: _read(path, classes) for path in files}
    numbers = files[0].suffix == ".npz" and not classes
    remarks = [f"no {_MAPPING} names the classes, so they are called by their numbers"] if numbers else []
    subsets = _subsets(source, choice, labels)
    if subsets and (stray := [name for name in labels if name not in subsets]):
        remarks.append(f"in no list of split {choice.split}: {plural(len(stray), 'video')}: {some_of(stray)}")
    return FrameLabels(labels, fps, subsets, source, tuple(remarks))


def _read(path: Path, classes: Sequence[str]) -> NDArray[np.str_]:
    """The labels of one video. Shape: [F]."""
    if path.suffix == ".npz":
        return _names(_numbers(path), classes, path)
    lines = [line.strip() for line in read_text(path).rstrip().splitlines()]
    if "" in lines:
        where = f"{path}:{lines.index('') + 1}"
        raise AnnotationError("a blank line, where a label should be", where=where, cure="give a label for every frame")
    labels = np.array(lines, dtype=np.str_)  # [F]
    if classes:
        for label in np.unique(labels).tolist():
            if label not in classes:
                guess = nearest(label, classes)
                cure = f"did you mean {guess!r}?" if guess else "take labels and mapping from one release"
                problem = f"the label {label[:80]!r} is not in {_MAPPING}"
                raise AnnotationError(problem, where=f"{path}:{lines.index(label) + 1}", cure=cure)
    return labels


def _numbers(path: Path) -> NDArray[np.int64]:
    """The array ``label`` of an ``.npz`` file. Shape: [F]."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            labels = stored["label"]
    except KeyError:
        raise AnnotationError("holds no array 'label'", where=path, cure=_EXPECTED) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise AnnotationError(f"cannot be read: {error}"[:300], where=path, cure="fetch the file again") from error
    labels = labels.reshape(-1) if labels.ndim == 2 and 1 in labels.shape else labels  # MATLAB knows no vectors
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels):
        problem = f"its labels are {labels.dtype} of shape {labels.shape}, but must be whole numbers, one for each row"
        raise AnnotationError(problem, where=path, cure="store label as [T] integers")
    return labels.astype(np.int64)


def _names(numbers: NDArray[np.int64], classes: Sequence[str], path: Path) -> NDArray[np.str_]:
    """Names for numbers; without names the numbers themselves, and 0 is the background. Shape: [F] -> [F]."""
    low, high = int(numbers.min()), int(numbers.max())
    if low < 0 or (classes and high >= len(classes)):
        bad = low if low < 0 else high
        bound = f"0 to {len(classes) - 1}" if classes else "0 or more"
        cure = f"take labels and {_MAPPING} from one release"
        raise AnnotationError(f"a label is {bad}, but numbers of classes are {bound}", where=path, cure=cure)
    if classes:
        return np.array(classes, dtype=np.str_)[numbers]
    return np.where(numbers == 0, "background", numbers.astype(np.str_))


def _subsets(source: Path, choice: FrameChoice, labels: dict[str, NDArray[np.str_]]) -> dict[str, str]:
    """``train`` or ``test`` of every video that the lists of the split name; empty where there are no lists."""
    folder = source / "splits"
    found: dict[str, tuple[str, str]] = {}
    missing: list[str] = []
    for subset in _SUBSETS:
        path = _list(folder, f"{subset}.split{choice.split}")
        if path is None:
            if not folder.is_dir() and choice.split == 1:
                return {}
            known = sorted({each.name for each in folder.glob("*.split*")})
            problem = f"has no list {subset}.split{choice.split}.bundle (or .txt)"
            cure = f"there are {', '.join(known)}" if known else f"put splits/{subset}.split1.bundle there"
            raise OptionError(problem, where=folder, cure=cure)
        for line, where in text_lines(path):
            name = _listed(line, where, labels)
            if name is None:
                missing.append(line)
                continue
            before = found.setdefault(name, (subset, where))
            if before != (subset, where):
                problem = f"{name!r} stands at {before[1]} too"
                raise AnnotationError(problem, where=where, cure="list every video once, for training or for test")
    if missing:
        problem = f"{plural(len(missing), 'listed video')} without labels: {some_of(missing)}"
        raise AnnotationError(problem, where=folder, cure="put their labels there, or take them out of the lists")
    return {name: subset for name, (subset, _) in found.items()}


def _list(folder: Path, stem: str) -> Path | None:
    return next((path for suffix in _SUFFIXES if (path := folder / f"{stem}{suffix}").is_file()), None)


def _listed(line: str, where: str, labels: dict[str, NDArray[np.str_]]) -> str | None:
    """The video that a line names: ``S1_Cheese_C1.txt``, or ``06-1`` for the only file that ends so, ``rgb-06-1``."""
    name = line.removesuffix(".txt").removesuffix(".npz")
    if "/" in name or "\\" in name or ".." in name or "\0" in name:
        cure = "list names of files in the folder of labels, without folders"
        raise AnnotationError(f"{line[:80]!r} is no name of a file", where=where, cure=cure)
    if name in labels:
        return name
    ends = [each for each in labels if each.endswith(f"-{name}")]
    return ends[0] if len(ends) == 1 else None
