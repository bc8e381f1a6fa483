"""The video files of a folder, found by what an annotation file or a list of a data set calls them."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from pathlib import Path, PurePosixPath, PureWindowsPath

from ..errors import AnnotationError
from .segments import VIDEO_SUFFIXES, video_name

_BETWEEN_WORDS = re.compile(r"(?<=[^\W_])[\s_-]+(?=[^\W_])")


class VideoIndex:
    """Every video below a folder. Links below it are followed; hidden files are no videos.

    Args:
        root: the folder that holds the videos, at any depth.

    Raises:
        AnnotationError: no such folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            cure = "give the folder that holds the videos"
            raise AnnotationError("the folder of the videos does not exist", where=root, cure=cure)
        self.root = root
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._by_folder: dict[tuple[str, str], list[Path]] = defaultdict(list)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(root.rglob("*")):
            if path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".") and path.is_file():
                stem = _composed(path.stem)
                self._by_name[_composed(video_name(path.relative_to(root)))].append(path)
                self._by_folder[folded(path.parent.name), stem].append(path)
                self._by_stem[stem].append(path)

    def choices(self, written: str | Path) -> list[Path]:
        """The files that ``written`` may mean; usually one.

        In this order: the path as written; the path with any video suffix; a file of that name in a folder of that
        name (case and blanks ignored: data sets are unpacked with ``playing_cricket`` and with ``playing cricket``);
        a file of that name, or of ``v_`` + name as ActivityNet's downloads are called, in any folder.
        """
        path = Path(written)
        if path.suffix.lower() in VIDEO_SUFFIXES and (self.root / path).is_file():
            return [self.root / path]
        name = PurePosixPath(_composed(video_name(path)))
        return (
            self._by_name.get(name.as_posix(), [])
            or self._by_folder.get((folded(name.parent.name), name.name), [])
            or self._by_stem.get(name.name, [])
            or self._by_stem.get(f"v_{name.name}", [])
        )

    def only(self, written: str | Path, where: str | Path | None) -> Path | None:
        """The file that ``written`` means; None when there is none.

        Args:
            where: the file, or ``file:line``, that says so.

        Raises:
            AnnotationError: a path with ``..`` or an absolute one; several files that could be meant.
        """
        refuse_outside(written, where)
        choices = self.choices(written)
        if len(choices) > 1:
            names = ", ".join(repr(str(choice.relative_to(self.root))) for choice in choices[:5])
            raise AnnotationError(f"{str(written)!r} could be {names}", where=where, cure="write its path in full")
        return choices[0] if choices else None


def refuse_outside(written: str | Path, where: str | Path | None) -> None:
    """Raise :class:`AnnotationError` for a path that leads out of the folder of the videos."""
    text = str(written).replace("\\", "/")
    if ".." in text.split("/") or text.startswith("/") or PureWindowsPath(text).drive or "\0" in text:
        problem = f"the path {str(written)!r} leads out of the folder of the videos"
        raise AnnotationError(problem, where=where, cure="write paths relative to that folder, without '..'")


def folded(name: str) -> str:
    """A folder or a label without what people vary: case, how words are joined, the form of accents."""
    return _BETWEEN_WORDS.sub("", _composed(name).strip().casefold())


def _composed(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)  # macOS writes accents apart
