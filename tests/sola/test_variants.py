"""The variants of the loss: targets in closed form, the loss against plain loops, who learns, and what it costs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoscope.errors import OptionError
from kinoscope.sola import SimilarityMatching, SolaOptions, similarity_matching, target_cosine, target_similarity
from kinoscope.sola.loss import target_probability

# --- targets -------------------------------------------------------------------------------------------------------


def test_targets_in_closed_form() -> None:
    distance = np.array([0, 1, 2, 3.5])
    np.testing.assert_allclose(
        target_cosine(distance, SolaOptions(lam=16)), [1, *(2 / (1 + np.exp(-16 / distance[1:] ** 2)) - 1)], atol=1e-12
    )
    np.testing.assert_allclose(
        target_cosine(distance, SolaOptions(target="exponential", reach=2)), np.exp(-distance / 2), atol=1e-12
    )
    np.testing.assert_array_equal(target_cosine(distance, SolaOptions(target="hard", reach=2)), [1, 1, 1, 0])


@given(
    st.sampled_from(["sigmoid", "exponential", "hard"]),
    st.floats(0, 50),
    st.floats(0.1, 10),
    st.lists(st.floats(0, 100), min_size=1, max_size=20),
)
def test_targets_fall_with_distance_and_stay_between_orthogonal_and_equal(
    family: str, lam: float, reach: float, distances: list[float]
) -> None:
    options = SolaOptions(target=family, lam=lam, reach=reach)  # type: ignore[arg-type]
    found = target_probability(torch.tensor([0.0, *sorted(distances)]), options)
    assert float(found[0]) == 1 and bool((found.diff() <= 1e-12).all()) and float(found.min()) >= 0.5


def test_the_official_target_is_the_sigmoid_of_positions() -> None:
    gaps = torch.arange(8.0)
    wanted = target_probability((gaps[:, None] - gaps[None, :]).abs(), SolaOptions())
    torch.testing.assert_close(wanted, target_similarity(8, 16.0))


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"target": "gauss"}, "target is 'gauss'"),
        ({"distance": "frames"}, "distance is 'frames'"),
        ({"reach": 0.0}, "reach is 0.0"),
        ({"dilation": 0}, "dilation is 0"),
        ({"dilation": 3}, "kernel 5 with dilation 3 looks further than margin 4"),
    ],
)
def test_impossible_variants(choice: dict[str, object], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        SolaOptions(**choice)  # type: ignore[arg-type]


def test_a_preset_leaves_what_was_chosen() -> None:
    assert SolaOptions().with_preset("official") == SolaOptions().with_preset("recommended") == SolaOptions()
    direct = SolaOptions(lam=3.0, kernel=3).with_preset("direct")
    assert direct == SolaOptions(lam=3.0, kernel=3, predictor=False, stop_gradient=False)
    with pytest.raises(OptionError, match="preset is 'best'"):
        SolaOptions().with_preset("best")  # type: ignore[arg-type]


# --- the loss ------------------------------------------------------------------------------------------------------


def slow_loss(
    z: np.ndarray, p: np.ndarray, target: np.ndarray, valid: np.ndarray, symmetric: bool, diagonal: bool
) -> float:
    """One pair at a time."""

    def cosine(b: int, i: int, j: int) -> float:
        return float(z[b, i] @ p[b, j]) / (math.dist(z[b, i], 0 * z[b, i]) * math.dist(p[b, j], 0 * p[b, j]) + 1e-8)

    terms = []
    for b, i, j in np.ndindex(len(z), z.shape[1], z.shape[1]):
        if not (valid[b, i] and valid[b, j]) or (i == j and not diagonal):
            continue
        c = (cosine(b, i, j) + cosine(b, j, i)) / 2 if symmetric else cosine(b, i, j)
        q = min(max((1 + c) / 2, 1e-5), 1 - 1e-5)
        terms.append(-target[b, i, j] * math.log(q) - (1 - target[b, i, j]) * math.log(1 - q))
    return sum(terms) / max(len(terms), 1)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.booleans())
def test_variants_equal_their_slow_twin(seed: int, symmetric: bool, diagonal: bool) -> None:
    rng = np.random.default_rng(seed)
    z, p = rng.normal(size=(2, 2, 4, 3))
    valid, target = rng.random((2, 4)) < 0.7, rng.uniform(0.5, 1, size=(2, 4, 4))
    given_tensors = [torch.from_numpy(each) for each in (z, p, target, valid)]
    loss = similarity_matching(*given_tensors, symmetric=symmetric, diagonal=diagonal)
    assert float(loss) == pytest.approx(slow_loss(z, p, target, valid, symmetric, diagonal), abs=1e-9)


def test_a_second_term_with_swapped_roles_would_change_nothing() -> None:
    z, p, target = torch.randn(2, 5, 3), torch.randn(2, 5, 3, requires_grad=True), target_similarity(5, 16)
    one = similarity_matching(z, p, target)
    swapped = similarity_matching(p, z, target, stop_gradient=False)
    torch.testing.assert_close(one, swapped)
    torch.testing.assert_close(*(torch.autograd.grad(loss, p)[0] for loss in (one, swapped)))


def test_who_learns() -> None:
    p, target = torch.randn(2, 5, 3), target_similarity(5, 16)
    z = torch.randn(2, 5, 3, requires_grad=True)
    similarity_matching(z, p, target, stop_gradient=False).backward()
    assert z.grad is not None and float(z.grad.abs().sum()) > 0
    assert not similarity_matching(z, p, target).requires_grad


# --- the module around it ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("predictor", [True, False])
def test_the_module_is_the_loss_on_unit_rows(predictor: bool) -> None:
    options = SolaOptions(size=4, predictor=predictor, stop_gradient=predictor)
    matching = SimilarityMatching(6, options)
    assert bool(list(matching.parameters())) == predictor
    adapted = torch.randn(3, 4, 6)
    z = F.normalize(adapted, dim=-1)
    wanted = similarity_matching(z, matching.predictor(z), target_similarity(4, 16))
    found = matching(adapted)
    torch.testing.assert_close(found["loss"], wanted)
    floor = float(F.binary_cross_entropy(target_similarity(4, 16), target_similarity(4, 16)))
    assert float((found["loss"] - found["above_floor"]).detach()) == pytest.approx(floor, abs=1e-6)


def test_a_perfect_match_reaches_the_floor() -> None:
    """Rows turned so that their cosines are the targets: exp(−d / reach) is a valid kernel, hence a Gram matrix."""
    options = SolaOptions(size=5, target="exponential", predictor=False, stop_gradient=False, diagonal=False)
    position = np.arange(5)
    gram = target_cosine(np.abs(position[:, None] - position[None, :]), options)
    rows = torch.from_numpy(np.linalg.cholesky(gram))[None]  # [1, 5, 5]
    assert float(SimilarityMatching(5, options)(rows)["above_floor"]) == pytest.approx(0, abs=1e-6)
    assert float(SimilarityMatching(5, options)(torch.randn(1, 5, 5).double())["above_floor"]) > 0.01


def test_distances_in_seconds_follow_each_video() -> None:
    by_position = SimilarityMatching(6, SolaOptions(size=4, predictor=False))
    by_time = SimilarityMatching(6, SolaOptions(size=4, predictor=False, distance="seconds"))
    rows = torch.randn(2, 4, 6)
    torch.testing.assert_close(by_time(rows, None, torch.tensor([1.0, 1.0])), by_position(rows))
    apart = [by_time(rows[b : b + 1], None, torch.tensor([s]))["loss"] for b, s in ((0, 0.5), (1, 2.0))]
    torch.testing.assert_close(by_time(rows, None, torch.tensor([0.5, 2.0]))["loss"], (apart[0] + apart[1]) / 2)
    with pytest.raises(ValueError, match="seconds"):
        by_time(rows)


def test_rows_of_zeros_count_in_no_pair_and_send_no_gradient() -> None:
    matching = SimilarityMatching(6, SolaOptions(size=4, predictor=False, stop_gradient=False))
    rows = torch.randn(1, 4, 6)
    rows[0, 2] = 0
    rows.requires_grad_()
    found = matching(rows)
    torch.testing.assert_close(
        found["loss"], matching(rows, torch.tensor([[True, True, False, True]]))["loss"], atol=0, rtol=0
    )
    found["loss"].backward()
    assert torch.isfinite(rows.grad).all() and float(rows.grad[0, 2].abs().max()) == 0
