"""The film strip with attention: bars where the numbers say, and what several clips of a video share."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.report.attention import Look, filmstrip, full_height, look_summary, overview

from .test_html import Page


def look(weights: np.ndarray, start: float = 0.0, **rest) -> Look:
    """A look of one second a token. Shape: [L, H, N]."""
    spans = [(start + n, start + n + 1.0) for n in range(weights.shape[2])]
    return Look(start, start + weights.shape[2], spans, attention=weights, **rest)


def bars(source: str) -> list[float]:
    (drawing,) = re.findall(r'<svg class="bars".*?</svg>', source)
    return [float(height) for height in re.findall(r'<rect [^>]*height="([\d.]+)"', drawing)]


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 3), st.integers(1, 8), st.integers(1, 12), st.integers(0, 2**31))
def test_bars_and_cells_are_the_weights(layers: int, heads: int, count: int, seed: int) -> None:
    weights = np.random.default_rng(seed).dirichlet(np.ones(count + 1), size=(layers, heads))  # [L, H, N + 1]
    drawn = look(weights[..., 1:])
    assert drawn.own == pytest.approx(weights[-1, :, 0].mean())
    height = full_height([drawn])
    source = filmstrip(drawn, "v", height)
    Page(source)
    slow = [sum(weights[-1, head, n + 1] for head in range(heads)) / heads for n in range(count)]
    np.testing.assert_allclose(bars(source), np.divide(slow, height), atol=1e-4)
    told = re.findall(r"<title>(?:layer (\d+), )?head (\d+): ([\d.]+) – [\d.]+ s: ([\d.]+)</title>", source)
    assert len(told) == layers * heads * count
    for layer, head, start, weight in told:
        assert float(weight) == pytest.approx(
            weights[int(layer or 1) - 1, int(head) - 1, int(float(start)) + 1], abs=5e-5
        )


def test_even_attention_fills_half_and_the_line_is_there() -> None:
    even = look(np.full((1, 2, 4), 0.2))
    source = filmstrip(even, "v", full_height([even]))
    assert bars(source) == pytest.approx([0.5] * 4)
    assert re.search(r'class="even" d="M0 0.5000H4"', source)
    assert "strongest" not in source
    assert look_summary(even) == "looked everywhere alike; 20 % on the class token itself"


def test_a_head_without_a_class_token_keeps_nothing_for_itself() -> None:
    mean = look(np.full((1, 2, 4), 0.25), class_token=False)
    assert (mean.own, mean.even) == (None, 0.25)
    assert look_summary(mean) == "looked everywhere alike"


def test_the_strongest_moment_is_named_and_several_clips_share_their_scale() -> None:
    sharp, flat = look(np.array([[[0.1, 0.7, 0.1]]])), look(np.array([[[0.3, 0.25, 0.25]]]), start=3.0)
    height = full_height([sharp, flat])
    assert height == 0.7
    assert bars(filmstrip(sharp, "v", height))[1] == 1.0
    assert max(bars(filmstrip(flat, "v", height))) == pytest.approx(0.3 / 0.7, abs=1e-4)
    assert filmstrip(sharp, "v", height).count(" strongest") == 1
    assert look_summary(sharp) == "most at 1.00 – 2.00 s: 70 %; 10 % on the class token itself"
    assert look_summary(look(np.array([[[0.1, 0.7, 0.1]]]), self_weight=0.05)).endswith("5 % on the class token itself")


def test_clips_that_overlap_lie_in_rows_of_their_own() -> None:
    weights = np.full((1, 1, 4), 0.25)
    looks = [look(weights, start) for start in (0.0, 2.0, 4.0, 6.0)]
    source = overview(looks, ["a", "b", "c", "d"], 0.5)
    Page(source)
    assert re.findall(r'href="#(\w)"', source) == ["a", "b", "c", "d"]
    places = re.findall(r'<rect x="([\d.]+)" y="(\d)" width="100"', source)
    assert [(float(x), y) for x, y in places[::4]] == [(0, "0"), (200, "1"), (400, "0"), (600, "1")]


def test_without_attention_there_are_pictures_only() -> None:
    plain = Look(0.0, 2.0, [(0.0, 1.0), (1.0, 2.0)], [b"\xff\xd8", None])
    source = filmstrip(plain, "v", full_height([plain]))
    page = Page(source)
    assert len(page.all("img")) == 1 and source.count("no picture") == 1
    assert not page.all("svg") and look_summary(plain) == "" and plain.own is None


def test_numbers_that_are_none_are_drawn_as_nothing() -> None:
    broken = look(np.array([[[np.nan, 0.5]], [[np.nan, np.nan]]]))
    source = filmstrip(broken, "v", full_height([broken]))
    Page(source)
    assert "nan" not in source.lower() and bars(source) == [0.0, 0.0]


def test_shapes_that_do_not_meet_are_refused() -> None:
    with pytest.raises(ValueError, match="2 tokens has 1 pictures"):
        Look(0.0, 2.0, [(0, 1), (1, 2)], [None])
    with pytest.raises(ValueError, match=r"\(1, 8, 3\), but must be \[L, H, 2\]"):
        Look(0.0, 2.0, [(0, 1), (1, 2)], attention=np.zeros((1, 8, 3)))


def test_it_reads_what_the_head_gives() -> None:
    import torch

    from kinoscope.bert3d.head import BertHead

    torch.manual_seed(0)
    head = BertHead(16, 5, layers=2, heads=4).eval()
    with torch.no_grad():
        attention = head.attend(torch.randn(1, 5, 16))[1][0].numpy()  # [L, H, N + 1, N + 1]
    drawn = look(attention[:, :, 0, 1:])  # row of the class token, which is at position 0
    assert drawn.own == pytest.approx(attention[-1, :, 0, 0].mean(), abs=1e-6)
    assert filmstrip(drawn, "v", full_height([drawn])).count("<title>layer") == 2 * 4 * 5
