"""One step of training a head: which weights count, rates and decay, and the windows that clips are seen in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kinoscope.bert3d.network import build_classifier
from kinoscope.bert3d.options import HeadOptions, RecognizeOptions
from kinoscope.bert3d.task import HeadTask, _Plateau, mean_logits, parameter_groups
from kinoscope.data.clip_parts import Parts
from kinoscope.data.features import Features
from kinoscope.engine.checkpoint import load_tree
from kinoscope.engine.resume import CHECKPOINT
from kinoscope.errors import (
    KinoscopeError,
    OptionError,
)

from .made import (
    HEAD,
    LEARNING,
    QUICK,
    TIME,
    WIDTH,
    clip,
    ordered,
    rows,
    sequence,
    task_of,
    tokens,
    train,
)

# --- which weights count -------------------------------------------------------------------------------------------


class Scripted(HeadTask):
    """Validation says what the test wants; weights are told apart by a number in the last bias."""

    def script(self, accuracies: list[float], losses: list[float] | None = None) -> list[float]:
        """Validate once per entry; the numbers of the epochs whose weights count after each."""
        network, found = self.networks["recognizer"], []
        for epoch, accuracy in enumerate(accuracies):
            network.last.bias.data.fill_(float(epoch))  # type: ignore[union-attr]
            right = round(accuracy * len(self.held))
            chosen = np.where(np.arange(len(self.held)) < right, self.held, 1 - self.held)
            self._said = (losses[epoch] if losses else 1.0) * nn.functional.one_hot(torch.from_numpy(chosen)).float()
            self.validate()
            found.append(float(self.answer.last.bias.detach()[0]))  # type: ignore[index,union-attr,operator]
        return found

    def validation_logits(self) -> Tensor:
        return self._said


def scripted(options: RecognizeOptions = QUICK) -> Scripted:
    task = task_of(options)
    task.__class__ = Scripted
    assert isinstance(task, Scripted)
    return task


def test_the_epoch_of_the_best_accuracy_counts_and_among_equals_that_of_the_least_loss() -> None:
    assert scripted().script([0.5, 0.75, 0.25, 0.75, 0.5]) == [0, 1, 1, 3, 3]
    assert scripted().script([1, 1, 1, 1], losses=[2.0, 3.0, 2.9999, 3.0001]) == [0, 1, 1, 3]
    assert scripted(replace(QUICK, select="last")).script([0.5, 0.75, 0.25]) == [0, 1, 2]


def test_the_best_epoch_is_kept_by_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a training that unlearns everything at its end, what counts answers as the best epoch did."""
    monkeypatch.setattr(HeadTask, "schedule", lambda self, step, total: 1.0 if step < 0.8 * total else -30.0)
    trained = train(tmp_path, LEARNING)
    accuracies = [row["validation_accuracy"] for row in rows(tmp_path, "validation")]
    truth = trained.parts.numbers(trained.parts.validation)
    found = (trained.validation.argmax(1) == truth).mean()
    assert found == pytest.approx(max(accuracies)) and accuracies[-1] < max(accuracies)


def test_without_validation_the_last_epoch_counts(tmp_path: Path) -> None:
    parts, features = ordered()
    trained = train(tmp_path, data=(replace(parts, validation=()), features))
    assert not rows(tmp_path, "validation") and trained.validation.shape == (0, 2)
    assert trained.recognizer.temperature == 1.0
    last = load_tree(tmp_path / CHECKPOINT)["networks"]["recognizer"]
    state = trained.recognizer.classifier.state_dict()
    assert all(torch.equal(state[name], last[name]) for name in state)


# --- steps ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("several", [2, 4])
def test_accumulated_batches_are_one_large_batch(tmp_path: Path, several: int) -> None:
    plain = HeadOptions(heads=2, dropout=0.0, head_dropout=0.0, keep=1.0)
    options = RecognizeOptions(epochs=2, batch_size=8, optimizer="sgd", learning_rate=0.1, schedule="constant")
    options = replace(options, warmup=0.0, select="last")
    large = train(tmp_path / "large", options, plain)
    small = train(tmp_path / "small", replace(options, batch_size=8 // several, accumulate=several), plain)
    expected = large.recognizer.classifier.state_dict()
    for name, value in small.recognizer.classifier.state_dict().items():
        torch.testing.assert_close(value, expected[name], atol=1e-5, rtol=1e-5, msg=name)


def test_sgd_with_dampening_vector(vectors: Callable[[str], dict[str, Any]]) -> None:
    """The published baseline's step is ten times smaller than it looks."""
    group = vectors("bert3d")["vectors"]["sgd_dampening"]
    for case in group["cases"]:
        for dampening, name in ((0.9, "positions_dampening_0p9"), (0.0, "positions_dampening_0")):
            network = nn.Linear(1, 1, bias=False)
            options = RecognizeOptions(optimizer="sgd", learning_rate=1.0, dampening=dampening, weight_decay=0)
            task = task_of(options)
            task.optimizers["recognizer"].param_groups.clear()
            task.optimizers["recognizer"].add_param_group({"params": [network.weight]})
            network.weight.data.zero_()
            found = []
            for _ in range(case["inputs"]["steps"]):
                network.weight.grad = torch.ones(1, 1)
                task.optimizers["recognizer"].step()
                found.append(float(network.weight.detach()))
            assert found == pytest.approx(case["expected"][name], abs=1e-5)


def test_what_decays_and_what_learns_slower() -> None:
    network = nn.ModuleDict({"backbone": nn.Conv3d(3, 8, 3), "classifier": build_classifier(HEAD, 8, 4, 2)})
    options = RecognizeOptions(learning_rate=1e-3, encoder_rate=0.05, weight_decay=0.1)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    found = {
        (group["lr"], group["weight_decay"]): {names[id(parameter)] for parameter in group["params"]}
        for group in parameter_groups(network, options)
    }
    slow = pytest.approx(5e-5)
    assert {key for key in found if key[0] == slow} == {(5e-5, 0.1), (5e-5, 0.0)}
    assert found[5e-5, 0.1] == {"backbone.weight"} and found[5e-5, 0.0] == {"backbone.bias"}
    free = found[1e-3, 0.0]
    assert {"classifier.head.class_token", "classifier.head.positions", "classifier.last.bias"} <= free
    assert not any(name.endswith("weight") and "norm" not in name for name in free)
    assert all(network.get_parameter(name).ndim > 1 for name in found[1e-3, 0.1])
    everything = parameter_groups(network, replace(options, decay_all=True))
    assert {group["weight_decay"] for group in everything} == {0.1}
    network.requires_grad_(False)
    with pytest.raises(KinoscopeError, match="no parameter learns"):
        parameter_groups(network, options)


def test_a_plateau_waits_then_drops_the_rate_to_a_tenth() -> None:
    plateau = _Plateau()
    found = []
    for loss in (1.0, 0.5, 0.75, 0.75, 0.75, 0.25, 0.25, 0.25, 0.25, 0.5, 0.5, float("nan")):
        plateau.see(loss, patience=2)
        found.append(int(plateau.drops))
    assert found == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3]
    ours, theirs = _Plateau(), torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    rule = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, factor=0.1, patience=5)
    for epoch in range(30):  # better and better, by next to nothing
        ours.see(1 - 1e-5 * epoch, patience=5)
        rule.step(1 - 1e-5 * epoch)
        assert 10.0 ** -int(ours.drops) == pytest.approx(theirs.param_groups[0]["lr"])
    assert int(ours.drops) == 3
    task = task_of(replace(QUICK, schedule="plateau", warmup=0.0))
    task._plateau.drops.fill_(2)
    assert task.schedule(5, 10) == pytest.approx(0.01)
    assert task_of(replace(QUICK, schedule="constant", warmup=0.0)).schedule(5, 10) == 1.0


def test_smoothed_labels_in_the_loss() -> None:
    smooth, sharp = task_of(replace(QUICK, smoothing=0.2)), task_of()
    for task in (smooth, sharp):
        task.networks["recognizer"].eval()
    batch = sharp.collate([sharp.sample(index, np.random.default_rng(0)) for index in range(4)])
    log = sharp.logits(batch).log_softmax(1)
    right = -log[torch.arange(4), batch["labels"]]
    assert float(sharp.loss(batch)["loss"].detach()) == pytest.approx(float(right.mean().detach()), abs=1e-6)
    expected = 0.8 * right - 0.2 * log.mean(1)
    assert float(smooth.loss(batch)["loss"].detach()) == pytest.approx(float(expected.mean().detach()), abs=1e-6)


# --- windows -------------------------------------------------------------------------------------------------------


def test_of_longer_clips_a_window_from_anywhere() -> None:
    task = task_of(data=ordered(rows=(9,)), tokens=6)
    whole = np.asarray(task.train.rows[3])
    firsts = set()
    for seed in range(40):
        window, label = task.sample(3, np.random.default_rng(seed))
        (first,) = [n for n in range(4) if np.array_equal(whole[n : n + 6], window)]
        firsts.add(first)
        assert label == task.labels[3] and window.dtype == np.float32
    assert firsts == {0, 1, 2, 3}


def test_answers_are_the_mean_over_the_windows_that_tile_a_clip() -> None:
    torch.manual_seed(0)
    network = build_classifier(HEAD, WIDTH, 4, 3).eval()
    clips = [tokens(n, length, WIDTH).numpy().astype(np.float32) for n, length in enumerate((3, 4, 10, 1))]
    found = mean_logits(network, clips, 4)
    with torch.no_grad():
        for values, expected in zip(clips, found, strict=True):
            starts = {3: [0], 4: [0], 10: [0, 3, 6], 1: [0]}[len(values)]
            each = [network(torch.from_numpy(values[first : first + 4])[None])[0] for first in starts]
            torch.testing.assert_close(expected, torch.stack(each).mean(0), atol=1e-6, rtol=1e-5)


def test_very_many_windows_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_classifier(HEAD, WIDTH, 4, 3).eval()
    clips = [tokens(n, 9 + n % 5, WIDTH).numpy() for n in range(12)]
    at_once = mean_logits(network, clips, 4)
    monkeypatch.setattr("kinoscope.bert3d.task._WINDOWS_AT_ONCE", 5)
    torch.testing.assert_close(mean_logits(network, clips, 4), at_once, atol=1e-6, rtol=1e-5)


def test_the_longest_clip_is_one_window_up_to_a_bound(tmp_path: Path) -> None:
    assert train(tmp_path / "a", data=ordered(rows=(5, 11))).recognizer.tokens == 11
    assert train(tmp_path / "b", replace(QUICK, epochs=1), data=ordered(rows=(5, 90))).recognizer.tokens == 64
    with pytest.raises(OptionError, match="tokens is 0"):
        train(tmp_path / "c", tokens=0)


def test_segments_of_one_video(tmp_path: Path) -> None:
    """Classes are told apart although all segments lie in the same two videos."""
    rng, time = np.random.default_rng(0), TIME
    segments, features = [], {}
    for video in ("a", "b"):
        parts = [sequence(label, rng, 6) for label in ("fall", "rise") * 8]
        features[video] = Features(np.concatenate(parts), time, "net", "abc")
        for number in range(16):
            edges = time.to_seconds(np.array([6 * number - 0.5, 6 * number + 5.5]))
            label = ("fall", "rise")[number % 2]
            segments.append(clip(f"{video}#{number + 1}", label, span=(float(edges[0]), float(edges[1]))))
    data = Parts(tuple(segments[:16]), tuple(segments[16:24]), tuple(segments[24:]), "made"), features
    trained = train(tmp_path, replace(LEARNING, epochs=60), data=data)
    assert trained.recognizer.tokens == 6
    assert (trained.test.argmax(1) == trained.parts.numbers(trained.parts.test)).all()
    last = trained.parts.test[-1]
    assert last.start is not None and last.end is not None
    glimpses = trained.recognizer.eye.glimpses(features["b"], part=(last.start, last.end))  # type: ignore[attr-defined]
    np.testing.assert_allclose(trained.recognizer.judge(glimpses).probabilities, trained.test[-1], atol=1e-7)
