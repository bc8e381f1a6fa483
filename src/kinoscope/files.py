"""Writing files so that a crash, a full disk or Ctrl-C never leaves half of one; hashing them."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import OutputError

_CURES = {
    errno.ENOSPC: "free some space, or choose an output folder on another disk",
    errno.EDQUOT: "free some space, or choose an output folder on another disk",
    errno.EROFS: "choose an output folder that can be written",
    errno.EACCES: "choose an output folder that you may write to",
    errno.EPERM: "choose an output folder that you may write to",
    errno.ENOTDIR: "a part of the path is a file: choose another output path",
    errno.EISDIR: "the path is a folder: name a file in it",
    errno.EEXIST: "something with this name is in the way: choose another output path",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f), or choose another output folder",
}
_LONGEST_STEM = 100  # bytes of it in a temporary name, which must stay below 255


@contextmanager
def output_errors(path: str | Path) -> Iterator[None]:
    """Turn the system's refusal to write below ``path`` into an :class:`OutputError` that names it."""
    try:
        yield
    except Exception as error:  # safetensors reports a full disk as an error of its own kind
        refusal = error if isinstance(error, OSError) else _refusal_inside(error)
        if refusal is None:
            raise
        reason = (refusal.strerror or str(refusal)).lower()
        cure = _CURES.get(refusal.errno or 0, "choose another output path")
        raise OutputError(f"cannot be written: {reason}", where=path, cure=cure) from error


def _refusal_inside(error: Exception) -> OSError | None:
    """The system's refusal that the safetensors library reports in words alone."""
    code = re.search(r"\(os error (\d+)\)", str(error)) if type(error).__name__ == "SafetensorError" else None
    return OSError(int(code[1]), os.strerror(int(code[1]))) if code else None


def make_folder(path: str | Path) -> Path:
    """Create ``path`` with its parents; raises :class:`OutputError` where that is impossible."""
    folder = Path(path)
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success sync it and rename it into place, on failure delete it.

    Raises:
        OutputError: when the folder or the file cannot be written.
    """
    target = Path(path)
    make_folder(target.parent)
    with output_errors(target):
        _refuse_in_the_way(target)
        # The suffix stays: some writers (PyAV, NumPy) choose their format by it.
        stem = os.fsdecode(os.fsencode(target.stem)[:_LONGEST_STEM])
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{stem}.", suffix=f".part{target.suffix[-40:]}")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_umask())  # mkstemp's 0600 would hide results from colleagues
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(target.parent)


def require_writable(path: str | Path) -> None:
    """Fail before long work where its result could not be written after it; nothing is created.

    Raises:
        OutputError: a folder or a device is in the way, or the folder cannot be written.
    """
    target = Path(path)
    with output_errors(target):
        _refuse_in_the_way(target)
        folder = next(parent for parent in target.absolute().parents if parent.exists())
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
        tempfile.TemporaryFile(dir=folder).close()


def _refuse_in_the_way(target: Path) -> None:
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if target.exists() and not target.is_file():  # /dev/null would be replaced by a file
        raise OSError(errno.EEXIST, "it is a device, not a file", str(target))


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_json(path: str | Path, value: Any, *, indent: int | None = 1) -> None:
    """Write ``value`` as strict JSON (NaN and infinity are refused), atomically."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n")


def sha256_of(path: str | Path) -> str:
    """The SHA-256 of a file's content, as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _sha256(file)


def _sha256(file: Any) -> str:
    digest = hashlib.sha256()  # Python 3.10 has no hashlib.file_digest
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened; the rename is durable without it
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
