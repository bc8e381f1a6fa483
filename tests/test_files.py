"""Nothing half written: not after an exception, not on a full disk, not where something is in the way."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kinoscope.errors import OutputError
from kinoscope.files import atomic_path, make_folder, output_errors, require_writable, sha256_of, write_json, write_text

from .folders import names_in

LIMITED = """
import resource, sys
from pathlib import Path
from kinoscope.errors import OutputError
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))  # the system refuses to let a file grow further
out = Path(sys.argv[1])

def features():
    import numpy as np
    from kinoscope.data.features import Features, FeatureTime, write_features
    write_features(out, Features(np.zeros((1000, 100), np.float32), FeatureTime(8, 1, 1)))

def checkpoint():
    import torch
    from kinoscope.engine.checkpoint import save_tree
    save_tree(out, {"w": torch.zeros(100_000)})

def text():
    from kinoscope.files import write_text
    write_text(out, "x" * 100_000)

try:
    {"features": features, "checkpoint": checkpoint, "text": text}[sys.argv[2]]()
except OutputError as error:
    print(error)
"""


@pytest.mark.parametrize("what", ["text", "features", "checkpoint"])
def test_a_file_that_the_system_does_not_let_grow_leaves_the_old_one(tmp_path: Path, what: str) -> None:
    target = tmp_path / "out.safetensors"
    target.write_text("old")
    command = [sys.executable, "-c", LIMITED, str(target), what]
    answer = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert answer.stdout.startswith(f"{target}: cannot be written: file too large") and "Cure:" in answer.stdout
    assert target.read_text() == "old" and names_in(tmp_path) == [target.name]


def test_success_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "down" / "a.txt"
    write_text(target, "one\n")
    write_text(target, "zwei ü\n")
    assert target.read_bytes() == "zwei ü\n".encode()
    assert names_in(target.parent) == ["a.txt"]


def test_results_are_readable_by_colleagues(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_text(tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3)])
def test_any_exception_leaves_the_old_file_and_no_temporary_one(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(type(error)), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old" and names_in(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    ("code", "cure"),
    [(errno.ENOSPC, "free some space"), (errno.EROFS, "can be written"), (errno.EIO, "choose another")],
)
def test_a_refusal_while_syncing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, cure: str) -> None:
    def refuse(_handle: int) -> None:
        raise OSError(code, os.strerror(code))

    target = tmp_path / "a.txt"
    target.write_text("old")
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OutputError) as caught:
        write_text(target, "new")
    assert caught.value.where == target and cure in (caught.value.cure or "")
    assert os.strerror(code).lower() in caught.value.problem
    assert target.read_text() == "old" and names_in(tmp_path) == ["a.txt"]


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    for attempt in (lambda: write_text(tmp_path, "x"), lambda: require_writable(tmp_path)):
        with pytest.raises(OutputError, match="is a directory"):
            attempt()


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for attempt in (
        lambda: write_text(tmp_path / "file" / "a", "x"),
        lambda: make_folder(tmp_path / "file" / "b"),
        lambda: require_writable(tmp_path / "file" / "b" / "c"),
    ):
        with pytest.raises(OutputError, match=r"cannot be written: (not a directory|file exists)"):
            attempt()
    assert names_in(tmp_path) == ["file"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no /proc, whose folders nobody can write")
def test_a_folder_that_nobody_can_write() -> None:
    for attempt in (lambda: write_text("/proc/self/out.txt", "x"), lambda: require_writable("/proc/self/out.txt")):
        with pytest.raises(OutputError, match=r"/proc/self/out\.txt: cannot be written"):
            attempt()


@pytest.mark.skipif(os.name != "posix", reason="devices are files on POSIX only")
def test_a_device_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for attempt in (lambda: write_text(pipe, "x"), lambda: require_writable(pipe)):
        with pytest.raises(OutputError, match="a device, not a file"):
            attempt()
    assert not pipe.is_file() and names_in(tmp_path) == ["pipe"]


def test_require_writable_creates_nothing(tmp_path: Path) -> None:
    require_writable(tmp_path / "a" / "b" / "c.json")
    require_writable(tmp_path / "c.json")
    assert not names_in(tmp_path)


@pytest.mark.parametrize("name", ["a" * 240 + ".json", "ü" * 120, "視" * 80 + ".mp4", "a." + "b" * 200])
def test_the_longest_names_that_a_disk_takes(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "x")
    assert names_in(tmp_path) == [name]


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written: file name too long") as caught:
        write_text(tmp_path / ("a" * 300), "x")
    assert caught.value.cure == "choose a shorter name" and not names_in(tmp_path)


def test_json_is_strict(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "a.json", float("nan"))
    assert not names_in(tmp_path)


def test_other_errors_are_not_taken_for_the_disks(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), output_errors(tmp_path):
        raise ZeroDivisionError


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
