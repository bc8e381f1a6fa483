"""Searching large libraries with faiss: an inverted file, kept in the user's cache, its recall measured and told.

Nothing of it lies in the index folder, because reading faiss' own files from strangers is not safe; what the cache
holds was built here.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..encoders.package_files import cache_folder
from ..files import atomic_path, output_errors, write_json
from ..progress import progress
from .engines import Exact, best, similarities
from .index import Index

_BLOCK = 1 << 15  # rows at once
_FIRST, _GROWTH = 256, 8  # how many are asked for first, and how many times more each time
_NEIGHBOURS, _SAMPLE = 10, 64  # recall is measured over so many neighbours of so many rows
_WANTED_RECALL, _LEAST_LISTS = 0.95, 4
_TRAINED_ON = 50  # rows for each list


class FaissEngine:
    """Looks into the lists of the inverted file that promise most, then compares what it found exactly.

    As many lists are looked into as it takes for a recall of 0.95 on rows of the library itself. What lies outside of
    them is ranked exactly when everything inside was given, so that no result is missing in the end.

    Args:
        index: its moments are what is searched.
    """

    def __init__(self, index: Index) -> None:
        self.rows = index.moments
        self.inverted, self.recall = _stored(index)

    @property
    def summary(self) -> str:
        """See :class:`~kinoscope.search.engines.Engine`."""
        lists = f"{self.inverted.nprobe} of {self.inverted.nlist} lists"
        return f"faiss, {lists} of {len(self.rows):,} moments, recall@{_NEIGHBOURS} {self.recall:.3f} on its own rows"

    def ranked(self, vector: np.ndarray) -> Iterator[tuple[int, float]]:
        """See :class:`~kinoscope.search.engines.Engine`."""
        given: set[int] = set()
        wanted = _FIRST
        while True:
            found = self.candidates(vector, min(wanted, len(self.rows)))
            fresh = np.sort(np.setdiff1d(found, np.fromiter(given, np.int64, len(given))))
            alike = similarities(self.rows[fresh], vector[None])[0]  # [M]
            order = best(alike, len(alike))
            yield from zip(fresh[order].tolist(), alike[order].tolist(), strict=True)
            given.update(fresh.tolist())
            if len(found) < wanted:
                break
            wanted *= _GROWTH
        if len(given) < len(self.rows):
            yield from ((row, each) for row, each in Exact(self.rows).ranked(vector) if row not in given)

    def candidates(self, vector: np.ndarray, count: int) -> np.ndarray:
        """At most ``count`` rows of the lists that are looked into. Shape: [C] -> [M]."""
        _, found = self.inverted.search(np.ascontiguousarray(vector[None], np.float32), count)
        return np.asarray(found[0][found[0] >= 0])


def _stored(index: Index) -> tuple[Any, float]:
    """The inverted file of ``index`` and its recall: from the cache, or built and kept there."""
    import faiss

    path = _path(index)
    inverted: Any
    if path is not None and path.is_file():
        try:
            facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            inverted = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
            if (inverted.ntotal, inverted.d) == index.moments.shape:
                inverted.nprobe = int(facts["lists"])
                return inverted, float(facts["recall"])
        except (OSError, ValueError, KeyError, TypeError, RuntimeError):
            pass  # damaged: build it again
    inverted = build(index.moments)
    recall = widen(inverted, index.moments)
    if path is not None:
        for old in path.parent.glob(f"{path.name.partition('-')[0]}-*"):  # of the same folder, before it changed
            with output_errors(old):
                old.unlink(missing_ok=True)
        with atomic_path(path) as temporary:
            faiss.write_index(inverted, str(temporary))
        write_json(path.with_suffix(".json"), {"lists": inverted.nprobe, "recall": recall})
    return inverted, recall


def _path(index: Index) -> Path | None:
    """Where the inverted file of an index is kept; nowhere for one that lives in memory alone."""
    if index.folder is None:
        return None
    place = hashlib.sha256(str(index.folder.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return cache_folder() / "search" / f"{place}-{index.digest}.faiss"


def build(rows: np.ndarray) -> Any:
    """An inverted file of half-precision rows: √N lists. Shape: [N, C]."""
    import faiss

    lists = max(1, round(math.sqrt(len(rows))))
    inverted: Any = faiss.index_factory(rows.shape[1], f"IVF{lists},SQfp16", faiss.METRIC_INNER_PRODUCT)
    inverted.cp.min_points_per_centroid = 1  # few rows are no reason to complain
    sample = np.linspace(0, len(rows) - 1, min(len(rows), _TRAINED_ON * lists)).astype(np.int64)
    with progress("Building the faiss index", len(rows)) as report:
        inverted.train(np.ascontiguousarray(rows[sample]))
        for begin in range(0, len(rows), _BLOCK):
            block = np.ascontiguousarray(rows[begin : begin + _BLOCK])
            inverted.add(block)
            report(len(block))
    return inverted


def widen(inverted: Any, rows: np.ndarray) -> float:
    """Look into more lists until enough is found; gives the recall that was reached, against the exact answer.

    A row of the library is asked for its nearest others: they count as found when they are among the candidates that
    are compared exactly.
    """
    sample = np.linspace(0, len(rows) - 1, min(_SAMPLE, len(rows))).astype(np.int64)
    vectors, count = np.ascontiguousarray(rows[sample]), min(_NEIGHBOURS + 1, len(rows))
    nearest = [best(each, count).tolist() for each in similarities(rows, vectors)]
    others = [set(each) - {row} for each, row in zip(nearest, sample.tolist(), strict=True)]
    wanted = sum(map(len, others))
    inverted.nprobe = min(_LEAST_LISTS, inverted.nlist)
    while wanted:
        _, found = inverted.search(vectors, _FIRST)
        hits = sum(len(each & set(among)) for each, among in zip(others, found.tolist(), strict=True))
        if hits >= _WANTED_RECALL * wanted or inverted.nprobe == inverted.nlist:
            return hits / wanted
        inverted.nprobe = min(2 * inverted.nprobe, inverted.nlist)
    return 1.0  # a single row has no others
