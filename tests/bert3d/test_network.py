"""From tokens to logits: what is done to tokens before a head, whole networks, presets and recipes of options."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from kinoscope.bert3d.network import Recognizer, TokenClassifier, build_classifier
from kinoscope.bert3d.options import (
    HEADS,
    ClipTraining,
    HeadName,
    HeadOptions,
    RecognizeOptions,
    head_for_frozen,
    head_with_preset,
    warm_cosine,
)
from kinoscope.bert3d.rivals import MeanHead
from kinoscope.errors import OptionError

from .made import lengths_mask, perturbed, tokens

OPTIONS = HeadOptions(heads=2, slow_width=8)


# --- what is done to tokens ----------------------------------------------------------------------------------------


def test_tokens_are_standardised_then_reduced_then_normalised() -> None:
    classifier = perturbed(TokenClassifier(MeanHead(3), 5, 2, reduce=3, normalize=True))
    assert isinstance(classifier, TokenClassifier)
    x = tokens(0, 4, 6, 5)
    center, deviation = x.mean((0, 1)), x.std((0, 1))
    classifier.standardize(center, deviation)
    seen = nn.functional.linear((x - center) / deviation, classifier.reduce.weight, classifier.reduce.bias)  # type: ignore
    expected = (seen / seen.norm(dim=-1, keepdim=True)).mean(1)
    torch.testing.assert_close(classifier(x), classifier.last(expected))


def test_channels_that_hardly_vary_are_not_blown_up() -> None:
    classifier = TokenClassifier(MeanHead(3), 3, 2)
    classifier.standardize(torch.zeros(3), torch.tensor([1.0, 2.0, 0.0]))
    assert classifier.scale.tolist() == pytest.approx([1, 0.5, 1000])
    classifier.standardize(torch.zeros(3), torch.zeros(3))
    assert classifier.scale.isfinite().all() and classifier(torch.zeros(1, 2, 3)).isfinite().all()


def test_places_are_pooled_for_heads_that_do_not_look_at_them() -> None:
    maps = tokens(1, 2, 4, 3, 3, 16)
    for name in HEADS:
        classifier = perturbed(build_classifier(replace(OPTIONS, head=name), 16, 4, 3, 3))
        pooled = (classifier(maps) - classifier(maps.mean((2, 3)))).abs().max() < 1e-9
        assert pooled == (name not in ("convgru", "non-local", "attention-pool")), name


@pytest.mark.parametrize("name", HEADS)
@settings(deadline=None, max_examples=6)
@given(seed=st.integers(0, 99), lengths=st.lists(st.integers(1, 5), min_size=2, max_size=3))
def test_padding_changes_no_logits(name: HeadName, seed: int, lengths: list[int]) -> None:
    """Zeros of the padding are no zeros any more after they are standardised."""
    classifier = perturbed(build_classifier(replace(OPTIONS, head=name, reduce=16), 20, 5, 3), seed)
    assert isinstance(classifier, TokenClassifier)
    classifier.standardize(tokens(seed, 20) + 3, tokens(seed + 1, 20).abs() + 0.1)
    x = tokens(seed, len(lengths), max(lengths), 20)
    mask = lengths_mask(lengths, max(lengths))
    together = classifier(x * mask[..., None], mask)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(together[row], classifier(x[row : row + 1, :length])[0], atol=1e-8, rtol=1e-8)


def test_the_classifier_begins_as_published() -> None:
    torch.manual_seed(0)
    last = TokenClassifier(MeanHead(400), 400, 200).last
    assert not last.bias.any() and float(last.weight.detach().abs().max()) <= math.sqrt(6 / 600)
    assert float(last.weight.detach().std()) == pytest.approx(math.sqrt(2 / 600), rel=0.05)  # Xavier, uniform


def test_dropout_before_the_classifier() -> None:
    torch.manual_seed(0)
    classifier = TokenClassifier(MeanHead(1000), 1000, 2, dropout=0.8).train()
    with torch.no_grad():
        classifier.last.weight.fill_(1.0)
    logits = classifier(torch.ones(50, 1, 1000)) / 5  # what is kept is five times as large
    assert float(logits.detach().mean()) == pytest.approx(200, rel=0.05) and float(logits.detach().std()) > 1
    assert classifier.eval()(torch.ones(1, 1, 1000)).tolist() == [[1000, 1000]]


def test_attending_tells_of_the_class_token() -> None:
    for name, length in (("bert", 5), ("attention-pool", 4), ("bert-late", 5)):
        classifier = perturbed(build_classifier(replace(OPTIONS, head=name), 16, 4, 3))  # type: ignore[arg-type]
        logits, weights = classifier.attend(tokens(2, 2, 4, 16))  # type: ignore[operator]
        torch.testing.assert_close(logits, classifier(tokens(2, 2, 4, 16)))
        assert weights.shape == (2, 1, 2, length)
    logits, weights = perturbed(build_classifier(replace(OPTIONS, head="lstm"), 16, 4, 3)).attend(tokens(2, 2, 4, 16))  # type: ignore
    assert weights is None and logits.shape == (2, 3)


@pytest.mark.parametrize("name", ["bert", "convgru"])
def test_a_whole_recogniser(name: HeadName) -> None:
    backbone = nn.Conv3d(3, 16, (2, 8, 8), (2, 8, 8))  # [B, 3, T, H, W] -> [B, 16, T/2, H/8, W/8]
    grid = 2 if name == "convgru" else 1
    network = perturbed(Recognizer(backbone, build_classifier(replace(OPTIONS, head=name), 16, 4, 3, grid)))
    clip = tokens(3, 2, 3, 8, 16, 16)
    maps = backbone(clip)  # [B, 16, 4, 2, 2]
    seen = maps.movedim(1, -1) if grid > 1 else maps.mean((3, 4)).transpose(1, 2)
    torch.testing.assert_close(network.tokens(clip), seen)  # type: ignore[operator]
    torch.testing.assert_close(network(clip), network.classifier(seen))  # type: ignore[operator]
    torch.testing.assert_close(network.attend(clip)[0], network(clip))  # type: ignore[operator]
    assert network(clip).shape == (2, 3)


# --- options -------------------------------------------------------------------------------------------------------


def test_the_official_recipe_is_the_published_one() -> None:
    """Sheet, sections 2 and 8."""
    options, head = RecognizeOptions().with_preset("official"), head_with_preset(HeadOptions(), "official")
    assert (options.batch_size * options.accumulate, options.batch_size, options.epochs) == (128, 8, 200)
    assert (options.optimizer, options.learning_rate, options.encoder_rate) == ("adamw", 1e-5, 1.0)
    assert (options.weight_decay, options.decay_all) == (1e-3, True)
    assert (options.schedule, options.patience, options.warmup, options.smoothing) == ("plateau", 5, 0.0, 0.0)
    assert (head.head, head.layers, head.heads, head.keep, head.head_dropout) == ("bert", 1, 8, 0.8, 0.1)
    assert (head.dropout, head.initialization, head.positions, head.normalize) == (0.8, "bert5", "learned", False)


def test_what_is_given_stands_above_a_preset() -> None:
    given_ = RecognizeOptions(epochs=3, schedule="constant").with_preset("official")
    assert (given_.epochs, given_.schedule, given_.batch_size) == (3, "constant", 8)
    assert head_with_preset(HeadOptions(dropout=0.1), "official").dropout == 0.1
    assert RecognizeOptions().with_preset("own") == RecognizeOptions()
    of_i3d = head_with_preset(HeadOptions(), "official", "i3d-k400")
    assert (of_i3d.initialization, of_i3d.normalize, of_i3d.dropout) == ("bert2", True, 0.8)
    baseline = RecognizeOptions().with_preset("official", "tgap")
    assert (baseline.optimizer, baseline.learning_rate, baseline.dampening) == ("sgd", 1e-2, 0.9)
    for call in (RecognizeOptions().with_preset, lambda preset: head_with_preset(HeadOptions(), preset)):
        with pytest.raises(OptionError, match=r"preset is 'large'(.|\n)*own or official"):
            call("large")


def test_wide_features_of_frozen_encoders_are_reduced_unless_something_is_said() -> None:
    assert head_for_frozen(HeadOptions(), 1024).reduce == 256
    assert head_for_frozen(HeadOptions(), 256).reduce is None
    assert head_for_frozen(HeadOptions(reduce=0), 1024).reduce == 0
    assert isinstance(build_classifier(HeadOptions(reduce=0), 64, 4, 2).reduce, nn.Identity)
    assert build_classifier(HeadOptions(reduce=32), 64, 4, 2).head.width == 32


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        (HeadOptions, {"head": "brt"}),
        (HeadOptions, {"layers": 0}),
        (HeadOptions, {"layers": 65}),
        (HeadOptions, {"heads": 0}),
        (HeadOptions, {"hidden": -1}),
        (HeadOptions, {"reduce": -1}),
        (HeadOptions, {"dropout": 1.0}),
        (HeadOptions, {"head_dropout": float("nan")}),
        (HeadOptions, {"keep": 0.0}),
        (HeadOptions, {"keep": 1.1}),
        (HeadOptions, {"positions": "sinus"}),
        (HeadOptions, {"initialization": "bert"}),
        (HeadOptions, {"readout": "last"}),
        (RecognizeOptions, {"epochs": 0}),
        (RecognizeOptions, {"accumulate": 0}),
        (RecognizeOptions, {"patience": 0}),
        (RecognizeOptions, {"seed": -1}),
        (RecognizeOptions, {"learning_rate": 0.0}),
        (RecognizeOptions, {"learning_rate": float("nan")}),
        (RecognizeOptions, {"encoder_rate": float("inf")}),
        (RecognizeOptions, {"weight_decay": -1.0}),
        (RecognizeOptions, {"smoothing": 1.0}),
        (RecognizeOptions, {"validation_share": -0.1}),
        (RecognizeOptions, {"optimizer": "adam"}),
        (RecognizeOptions, {"schedule": "linear"}),
        (RecognizeOptions, {"select": "first"}),
        (ClipTraining, {"stream": "depth"}),
    ],
    ids=str,
)
def test_impossible_options_are_refused_by_name(kind: Any, bad: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=rf"\b{next(iter(bad))} is "):
        kind(**bad)


def test_identity_holds_what_decides_the_result_beside_the_loop() -> None:
    names = set(asdict(RecognizeOptions())) - set(RecognizeOptions().identity())
    assert names == {"epochs", "batch_size", "seed"}, "the loop's own identity holds those"


def test_the_rate_rises_then_falls() -> None:
    rates = [warm_cosine(step, 100, 0.1, "cosine") for step in range(101)]
    assert rates[:10] == pytest.approx([(k + 1) / 10 for k in range(10)]) and rates[100] == pytest.approx(0)
    assert rates[55] == pytest.approx(0.5) and all(a >= b for a, b in pairwise(rates[9:]))
    assert [warm_cosine(step, 100, 0.0, "constant") for step in (0, 50, 99)] == [1, 1, 1]
    assert warm_cosine(0, 1, 0.05, "cosine") == 1.0, "a single update is made at the full rate"
