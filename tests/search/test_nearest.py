"""Nearest moments and videos: the slow twin finds the same, ties are defined, nothing repeats itself."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.errors import OptionError
from kinoscope.search import engines, faiss_engine, index_of, nearest_moments, nearest_videos
from kinoscope.search.build import write_index
from kinoscope.search.engines import Exact, best, choose_engine, similarities
from kinoscope.search.index import Index, open_index, unit
from kinoscope.search.nearest import Omitted

from . import twin
from .made import library


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return index_of(library(tmp_path_factory.mktemp("feats"), {"a": 9, "b/c": 14, "d": 1, "e": 20, "f": 6}))


def query(seed: int, width: int) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=width))


@given(seed=st.integers(0, 10_000), count=st.integers(1, 60), per_video=st.integers(1, 5), apart=st.floats(0, 4))
@settings(max_examples=60, deadline=None)
def test_moments_are_those_of_the_slow_twin(index: Index, seed: int, count: int, per_video: int, apart: float) -> None:
    vector = query(seed, len(index.mean))
    rows = [(index.entry_of(n), index.time_of(n), row) for n, row in enumerate(index.moments)]
    expected = twin.moments(rows, vector, count, per_video, apart)
    hits = nearest_moments(index, vector, count, per_video=per_video, apart=apart)
    assert [(hit.video, hit.time) for hit in hits] == [(index.entries[v].name, time) for v, time in expected]
    assert [hit.similarity for hit in hits] == sorted((hit.similarity for hit in hits), reverse=True)


def test_videos_are_ranked_by_their_cosine_and_tell_their_best_moment(index: Index) -> None:
    hits = nearest_videos(index, index.videos[1], 10)
    cosines = index.videos @ index.videos[1]
    assert [hit.video for hit in hits] == [index.entries[n].name for n in np.argsort(-cosines)]
    assert hits[0].video == "b/c" and hits[0].similarity == pytest.approx(1, abs=1e-5)
    for hit in hits:
        number = [entry.name for entry in index.entries].index(hit.video)
        alike = index.moments[index.rows_of(number)] @ index.videos[1]
        assert hit.time == index.centres(number)[alike.argmax()] and hit.start == 0
        assert hit.end == index.entries[number].duration


def test_the_query_itself_is_left_out(index: Index) -> None:
    names = [hit.video for hit in nearest_videos(index, index.videos[3], 10, omitted=Omitted(3))]
    assert len(names) == 4 and "e" not in names
    assert "e" not in [hit.video for hit in nearest_moments(index, index.videos[3], 10, omitted=Omitted(3))]
    row = index.moments[index.entries[3].first + 8]  # at 4.5 s
    hits = nearest_moments(index, row, 30, per_video=30, apart=0, omitted=Omitted(3, 3.5, 5.5))
    times = [hit.time for hit in hits if hit.video == "e"]
    assert sorted(times) == [t for t in np.arange(0.5, 10.5, 0.5) if not 3.5 <= t <= 5.5]


def test_overlapping_neighbours_are_suppressed(index: Index) -> None:
    hits = nearest_moments(index, query(1, len(index.mean)), 50, per_video=50)
    for name in {hit.video for hit in hits}:
        times = sorted(hit.time for hit in hits if hit.video == name)
        assert all(b - a >= index.clip_seconds for a, b in pairwise(times))
    assert all(hit.start == hit.time - 0.5 and hit.end == hit.time + 0.5 for hit in hits)


@pytest.mark.parametrize("values", [{"count": 0}, {"per_video": 0}, {"apart": -1}, {"apart": math.nan}])
def test_impossible_numbers(index: Index, values: dict[str, float]) -> None:
    count = int(values.pop("count", 5))
    with pytest.raises(OptionError, match="must be"):
        nearest_moments(index, index.moments[0], count, **values)  # type: ignore[arg-type]


def test_more_than_there_is(index: Index) -> None:
    assert len(nearest_moments(index, index.moments[0], 10_000, per_video=10_000, apart=0)) == len(index.moments)
    assert len(nearest_videos(index, index.videos[0], 10_000)) == len(index.entries)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=40), st.integers(1, 50))
def test_the_best_are_sorted_and_ties_go_to_the_lower_row(scores: list[int], count: int) -> None:
    expected = sorted(range(len(scores)), key=lambda n: (-scores[n], n))[:count]
    assert best(np.array(scores, np.float32), count).tolist() == expected


def test_equal_rows_tie_wherever_they_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_BLOCK", 7)
    row = query(0, 301)
    rows = np.repeat(row[None], 100, axis=0)
    found = similarities(rows, query(1, 301)[None])
    assert len(set(found[0].tolist())) == 1
    assert [n for n, _ in Exact(rows).ranked(row)] == list(range(100))


def test_blocks_and_growth_change_nothing(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    vector = query(5, len(index.mean))
    whole = list(Exact(index.moments).ranked(vector))
    monkeypatch.setattr(engines, "_BLOCK", 3)
    monkeypatch.setattr(engines, "_FIRST", 1)
    monkeypatch.setattr(engines, "_GROWTH", 2)
    assert list(Exact(index.moments).ranked(vector)) == whole
    assert [row for row, _ in whole] == best(index.moments @ vector, 50).tolist()


class TestFaiss:
    @pytest.fixture
    def large(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
        pytest.importorskip("faiss", reason="faiss is not installed")
        monkeypatch.setenv("KINOSCOPE_CACHE", str(tmp_path / "cache"))
        write_index(tmp_path / "index", library(tmp_path / "feats", {str(n): 60 for n in range(20)}))
        return open_index(tmp_path / "index")

    def test_it_finds_nearly_the_same_and_says_how_nearly(self, large: Index) -> None:
        engine = choose_engine("faiss", large)
        assert "recall@10" in engine.summary
        found = 0
        for n in range(0, len(large.moments), 60):
            exact = {row for row, _ in zip(*_first(Exact(large.moments), large.moments[n], 10), strict=True)}
            ours = {row for row, _ in zip(*_first(engine, large.moments[n], 10), strict=True)}
            found += len(exact & ours)
        assert found >= 0.85 * 200

    def test_every_row_is_given_once_with_its_exact_similarity(
        self, large: Index, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(faiss_engine, "_FIRST", 4)
        vector = query(2, len(large.mean))
        given = dict(choose_engine("faiss", large).ranked(vector))
        np.testing.assert_array_equal(sorted(given), np.arange(len(large.moments)))
        exact = dict(Exact(large.moments).ranked(vector))
        assert all(abs(given[row] - exact[row]) <= 2e-6 for row in exact)

    def test_it_is_built_once_and_anew_for_another_index(
        self, large: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = choose_engine("faiss", large).summary
        kept = sorted((tmp_path / "cache" / "search").iterdir())
        assert len(kept) == 2
        with monkeypatch.context() as patch:
            patch.setattr(faiss_engine, "build", lambda _rows: pytest.fail("built again"))
            assert choose_engine("faiss", large).summary == first
        kept[0].write_bytes(b"damaged")
        assert choose_engine("faiss", large).summary == first
        write_index(tmp_path / "index", library(tmp_path / "feats", {"x": 60}))
        assert choose_engine("faiss", open_index(tmp_path / "index")).summary
        assert len(list((tmp_path / "cache" / "search").iterdir())) == 2

    def test_small_libraries(self, index: Index) -> None:
        pytest.importorskip("faiss", reason="faiss is not installed")
        rows = [row for row, _ in choose_engine("faiss", index).ranked(index.moments[7])]
        assert rows[0] == 7 and sorted(rows) == list(range(len(index.moments)))


def _first(engine: engines.Engine, vector: np.ndarray, count: int) -> tuple[list[int], list[float]]:
    found = [pair for pair, _ in zip(engine.ranked(vector), range(count), strict=False)]
    return [row for row, _ in found], [alike for _, alike in found]


def test_faiss_that_is_not_installed(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda _name: None)
    with pytest.raises(OptionError, match=r"needs the package faiss\n  Cure: install it: pip install"):
        choose_engine("faiss", index)
    monkeypatch.setattr(engines, "LARGE", 3)
    assert isinstance(choose_engine("auto", index), Exact)
