"""An exported AR-Net does what the engine does: program by program, as a loop without Kinoscope, and in the engine."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinoscope.arnet.engine import Step
from kinoscope.arnet.model import AdaptiveRecognizer, load_adaptive
from kinoscope.arnet.pixels import Glass
from kinoscope.errors import OptionError, OutputError, WeightError
from kinoscope.export import ExportedProgram, arnet_write, export_adaptive, exported_networks
from kinoscope.export.arnet import programs_of
from kinoscope.export.arnet_check import LoopAgreement, _agreement, frames_of, require_loop, step_inputs
from kinoscope.export.onnx_file import write_graph
from kinoscope.video import open_video

from ..encoders import tiny
from ..folders import files_below
from . import converted, made_arnet

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.fixture(autouse=True)
def tiny_networks(monkeypatch: pytest.MonkeyPatch, across_workers: Path) -> None:
    made_arnet.install(monkeypatch)
    converted.install(monkeypatch, across_workers)


@pytest.fixture
def films(tmp_path: Path) -> list[Path]:
    return [tiny.film(tmp_path / "videos" / f"{n}.mp4", 40, size=(64, 96), seed=n) for n in range(3)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, across_workers: Path) -> Path:
    """An export that nothing was compared for; made once."""
    with pytest.MonkeyPatch.context() as patch:
        made_arnet.install(patch)
        converted.install(patch, across_workers)
        out = tmp_path_factory.mktemp("exported") / "ar-onnx"
        return export_adaptive(made_arnet.recognizer(), out, name="ar", quiet=True).folder


def looking(path: Path, model: AdaptiveRecognizer) -> Callable[[int, int], np.ndarray]:
    """A decoder for the loop: all frames at once, then what is asked for."""
    found: dict[tuple[int, int], np.ndarray] = {}
    with open_video(path) as video, video.picker() as pick:
        glass = Glass(video.stored_size, video.rotation, 48, model.options.kernel, model.options.crop)
        for position in range(len(video)):
            frame = pick(position)
            found |= {(position, size): glass.view(frame, size) for _, size in model.options.views}
    return lambda frame, size: found[frame, size]


# --- alike ---------------------------------------------------------------------------------------------------------


def test_every_program_and_the_loop_are_compared(films: list[Path], tmp_path: Path) -> None:
    written = export_adaptive(made_arnet.recognizer(), tmp_path / "a" / "ar", name="ar", compared=films, quiet=True)
    names = ["frames-0-tiny-48", "frames-1-tiny-40", "policy-tiny-32", "step"]
    assert files_below(tmp_path / "a") == sorted(
        [f"ar/{name}.onnx" for name in names] + ["ar/README.md", "ar/model.json"]
    )
    assert list(written.programs) == names and list(written.programs["step"]) == [
        *("next_hidden", "next_cell", "action_logits", "class_logits")
    ]
    assert all(each.relative < 1e-5 for outputs in written.programs.values() for each in outputs.values())
    loop = written.loop
    assert (
        loop is not None and (loop.videos, loop.same_answers, loop.same_actions) == (3, 1, 1) and loop.relative < 1e-5
    )
    said = json.loads((written.folder / "model.json").read_text(encoding="utf-8"))
    assert said["check"]["loop"]["difference"] == loop.difference and said["precision"] == "float32"
    assert said["check"]["programs"]["step"]["action_logits"]["clips"] == 24


@pytest.mark.parametrize(
    "kernel", ["area", *(pytest.param(each, marks=pytest.mark.slow) for each in ("nearest", "bilinear"))]
)
def test_the_loop_in_the_readme_runs_alone(
    films: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported: Path, kernel: str
) -> None:
    """The very text of the file, with NumPy and the runtime, in the folder of the export."""
    model, folder = made_arnet.recognizer(kernel=kernel), exported
    if kernel != "area":
        folder = export_adaptive(model, tmp_path / "ar", quiet=True).folder
    monkeypatch.chdir(folder)
    loop, use = re.findall(r"```python\n(.*?)```", Path("README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert "kinoscope" not in loop.lower().replace("arnet", "") and "torch" not in loop
    taken = set()
    for film in films:
        space: dict[str, Any] = {"look": looking(film, model), "number_of_frames": 40}
        exec(loop, space)
        exec(use, space)
        expected = model.recognize(film)
        np.testing.assert_allclose(space["logits"], expected.logits, atol=1e-4)
        np.testing.assert_allclose(space["probabilities"], expected.probabilities, atol=1e-5)
        taken |= {action for _, action, _ in space["done"]}
        consulted = [(at, step.action) for at, step in enumerate(expected.steps) if step.consulted]
        assert [(at, action) for at, action, _ in space["done"]] == consulted
    assert kernel != "area" or taken == {0, 1, 2, 3, 4}, "every action occurs"


def test_the_knobs_of_the_loop_are_those_of_the_engine(films: list[Path], exported: Path) -> None:
    from kinoscope.arnet.spending import Spending
    from kinoscope.export import control_loop

    model, loaded = made_arnet.recognizer(), control_loop.load(exported)
    bias = 20 / max(model.costs.backbones)
    for film in films:
        expected = model.recognize(film, spending=Spending(frames=7, bias=bias))
        wanted = control_loop.candidates(40, 7)
        _, logits, done = control_loop.recognize(loaded, wanted, looking(film, model), bias)
        np.testing.assert_allclose(logits, expected.logits, atol=1e-4)
        assert all(action > 1 for _, action, _ in done), "nothing dear is done"
        assert len(done) == expected.spent.consulted


def test_where_everything_is_skipped_the_last_own_answer_counts(films: list[Path], tmp_path: Path) -> None:
    from kinoscope.export import control_loop

    model = made_arnet.recognizer()
    with torch.no_grad():
        model.network.policy.actions.bias[4] = 100
    folder = export_adaptive(model, tmp_path / "ar", compared=films[:1], quiet=True).folder
    _, logits, done = control_loop.recognize(
        control_loop.load(folder), control_loop.candidates(40, 10), looking(films[0], model)
    )
    expected = model.recognize(films[0])
    assert expected.guarded and [action for _, action, _ in done] == [4] * 5
    np.testing.assert_allclose(logits, expected.logits, atol=1e-4)


def test_candidates_of_short_videos_are_those_of_the_engine() -> None:
    from kinoscope.arnet.candidates import middle_frames
    from kinoscope.export.control_loop import candidates

    for frames in (1, 3, 10, 11, 37, 300):
        assert candidates(frames, 10) == middle_frames(frames, 10).tolist()


def test_programs_take_any_batch_and_say_what_they_are(exported: Path) -> None:
    step = ExportedProgram(exported / "step.onnx")
    for batch in (1, 2, 5):
        shapes = [x.shape for x in step.outputs(*(np.zeros((batch, width)) for width in (8, 6, 6)))]
        assert shapes == [(batch, 6), (batch, 6), (batch, 5), (batch, 4)]
    backbone = ExportedProgram(exported / "frames-1-tiny-40.onnx")
    assert [x.shape for x in backbone.outputs(np.zeros((3, 3, 40, 40)))] == [(3, 8), (3, 4)]
    assert backbone.config["inputs"] == [{"name": "frames", "shape": ["batch", 3, 40, 40], "dtype": "float32"}]
    said = json.loads((exported / "model.json").read_text(encoding="utf-8"))
    assert (
        said["classes"] == list(made_arnet.CLASSES) and said["temperature"] == 1.5 and said["curve"][0]["bias"] == 0.5
    )
    assert [(each["network"], each["skip"]) for each in said["actions"]] == [
        *((0, 0), (1, 0), (None, 0), (None, 1), (None, 2))
    ]


def test_the_engine_runs_on_exported_networks(films: list[Path], tmp_path: Path, exported: Path) -> None:
    made_arnet.saved(tmp_path / "run")
    plain = load_adaptive(tmp_path / "run", device="cpu", runtime="torch")
    other = load_adaptive(tmp_path / "run", device="cpu", replaced=exported_networks(exported, threads=1))
    for a, b in zip(plain.recognize_all(films), other.recognize_all(films), strict=True):
        np.testing.assert_allclose(b.logits, a.logits, atol=1e-4)  # type: ignore[union-attr]
        assert [s.action for s in a.steps] == [s.action for s in b.steps]  # type: ignore[union-attr]


def test_the_state_is_that_of_frames_in_a_row(films: list[Path]) -> None:
    model = made_arnet.recognizer()
    *_, policy, step = programs_of(model, "ar")
    views = frames_of(films, model, 5)
    assert [view.shape for view in views] == [(5, 48, 48, 3), (5, 40, 40, 3), (5, 32, 32, 3)]
    frames = policy.prepare(views[-1])
    actions, classes = model.network.policy(frames[None])
    found = step.eager(*step_inputs(step, policy.eager(frames)[0]))
    torch.testing.assert_close(found[2], actions[0])
    torch.testing.assert_close(found[3], classes[0])


@pytest.mark.slow
@pytest.mark.parametrize("family", ["efficientnet-lite", "resnet"])
def test_the_families(films: list[Path], tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fresh weights of the published networks, at smaller sizes."""
    from kinoscope.arnet.model import build_network
    from kinoscope.arnet.options import ArNetOptions
    from kinoscope.encoders.image_nets import image_net

    torch.manual_seed(0)
    options = ArNetOptions(family=family, sizes=(96, 80, 64), policy_size=48, segments=6)  # type: ignore[arg-type]
    network = build_network(options, 3, [image_net(name).build().eval() for name, _ in options.views])
    model = AdaptiveRecognizer(network, options, ("a", "b", "c"), learned=True, device="cpu", runtime="torch")
    written = export_adaptive(model, tmp_path / "ar", compared=films, quiet=True)
    assert len(written.programs) == 5 and written.loop is not None and written.loop.same_answers == 1


# --- OpenVINO ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_openvino(films: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    model = made_arnet.saved(tmp_path / "run")
    written = export_adaptive(model, tmp_path / "ar", to="openvino", compared=films, quiet=True)
    assert {path.suffix for path in written.files} == {".xml", ".bin", ".json", ".md"}
    assert written.loop is not None and written.loop.same_actions == 1 and written.loop.relative < 1e-4
    monkeypatch.chdir(written.folder)
    loop, use = re.findall(r"```python\n(.*?)```", Path("README.md").read_text(encoding="utf-8"), re.DOTALL)
    space: dict[str, Any] = {"look": looking(films[0], model), "number_of_frames": 40}
    exec(loop, space)
    exec(use, space)
    np.testing.assert_allclose(space["logits"], model.recognize(films[0]).logits, atol=1e-3)
    other = load_adaptive(tmp_path / "run", device="cpu", replaced=exported_networks(written.folder))
    np.testing.assert_allclose(other.recognize(films[1]).logits, model.recognize(films[1]).logits, atol=1e-3)


@pytest.mark.slow
def test_int8(films: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    model = made_arnet.recognizer()
    options: dict[str, Any] = {"to": "openvino", "calibration": films[:2], "compared": films, "quiet": True}
    written = export_adaptive(model, tmp_path / "ar", least_agreement=0.0, **options)
    features = written.programs["frames-0-tiny-48"]["features"]
    assert features.relative > 1e-4 and features.cosine > 0.9, "in eight bits, and near"
    assert all(each.relative < 1e-5 for each in written.programs["step"].values()), "what decides stays exact"
    assert written.description["precision"] == "int8"
    assert ExportedProgram(written.folder / "policy-tiny-32.xml").config["precision"] == "float32"
    assert ExportedProgram(written.folder / "step.xml").config["precision"] == "float32"
    with pytest.raises(WeightError, match="int8"):
        export_adaptive(model, tmp_path / "b", least_agreement=1.01, **options)
    assert not list(tmp_path.glob("b*")) and not list(tmp_path.glob(".export*"))


# --- what is refused, and leaves nothing ---------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["frames-1", "step"])
def test_one_program_that_disagrees_and_nothing_is_written(
    films: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    others = {program.name: program for program in programs_of(made_arnet.recognizer(seed=3), "other")}

    def otherwise(graph: Any, path: Path, **more: int) -> None:
        write_graph(others[path.stem].graph if path.name.startswith(part) else graph, path, **more)

    monkeypatch.setattr(arnet_write, "write_graph", otherwise)
    with pytest.raises(WeightError, match=rf"{part}.*(\n|.)*disagrees with PyTorch by(\n|.)*not written"):
        export_adaptive(made_arnet.recognizer(), tmp_path / "ar", compared=films, quiet=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["videos"]


def test_what_is_there_is_replaced_only_if_it_is_an_export(tmp_path: Path, exported: Path) -> None:
    model = made_arnet.recognizer()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.safetensors").write_text("precious")
    with pytest.raises(OutputError, match="is there already"):
        export_adaptive(model, tmp_path / "run", quiet=True)
    with pytest.raises(OutputError, match="is no export"):
        export_adaptive(model, tmp_path / "run", overwrite=True, quiet=True)
    assert files_below(tmp_path) == ["run/model.safetensors"]
    shutil.copytree(exported, tmp_path / "ar")
    (tmp_path / "ar" / "left").write_text("over")
    export_adaptive(replace_classes(model), tmp_path / "ar", overwrite=True, quiet=True)
    said = json.loads((tmp_path / "ar" / "model.json").read_text(encoding="utf-8"))
    assert said["classes"][0] == "other" and not (tmp_path / "ar" / "left").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ar", "run"]


def replace_classes(model: AdaptiveRecognizer) -> AdaptiveRecognizer:
    return AdaptiveRecognizer(
        model.network, model.options, ("other", *made_arnet.CLASSES[1:]), learned=True, device="cpu", runtime="torch"
    )


@pytest.mark.parametrize(
    ("out", "options", "problem"),
    [
        ("a.onnx", {}, "becomes a folder of programs"),
        ("a", {"opset": 9}, "--opset is 9"),
        ("a", {"calibration": [Path("a.mp4")]}, "int8 is for OpenVINO"),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, out: str, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(OptionError, match=problem):
        export_adaptive(made_arnet.recognizer(), tmp_path / out, quiet=True, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_memory_that_sees_what_it_skips_cannot_skip_anything(tmp_path: Path) -> None:
    model = made_arnet.recognizer()
    model.network.rule = "official"
    with pytest.raises(OptionError, match="--state official"):
        export_adaptive(model, tmp_path / "a", quiet=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "no such file"),
        ("{", "cannot be read"),
        ("[]", "no exported AR-Net"),
        ('{"format": "kinoscope-export", "kind": "arnet"}', "names no networks"),
        ('{"format": "kinoscope-export", "kind": "arnet", "networks": [{"file": "gone.onnx"}]}', "no such file"),
    ],
)
def test_a_folder_of_something_else(tmp_path: Path, text: str | None, problem: str) -> None:
    if text is not None:
        (tmp_path / "model.json").write_text(text)
    with pytest.raises(WeightError, match=problem):
        exported_networks(tmp_path)


# --- the comparison of whole videos, in numbers --------------------------------------------------------------------


def test_a_tie_is_no_disagreement_and_a_lead_is() -> None:
    logits, scores = np.array([1.0, 3.0]), np.array([-1.0, -1.0002, -3.0])

    def pair(action: int, at: int = 1) -> LoopAgreement:
        steps = (Step(0.0, 1, True), Step(1.0, 1, True))
        expected = replace_answer(logits, steps)
        done = [(0, 1, scores), (1, action, scores)][: at + 1]
        return _agreement([(expected, (expected.probabilities, logits + 0.003, done))])

    alike = pair(1)
    assert (alike.same_actions, alike.parted, alike.scale) == (1, 0, 3) and alike.difference == pytest.approx(0.003)
    require_loop(alike, Path("a"), tolerance=0.01)
    with pytest.raises(WeightError, match=r"by 1.0e-03 of the largest logit"):
        require_loop(alike, Path("a"), tolerance=1e-4)
    tie = pair(0)
    assert tie.same_actions == 0 and tie.parted == pytest.approx(0.0002) and tie.difference == 0
    require_loop(tie, Path("a"), tolerance=1e-4)
    with pytest.raises(WeightError, match="not for a tie"):
        require_loop(replace(tie, parted=0.1), Path("a"), tolerance=1e-4)
    require_loop(replace(tie, parted=0.1), Path("a"), tolerance=1e-4, least=1.0)
    with pytest.raises(WeightError, match=r"only 50.0%"):
        require_loop(replace(tie, same_answers=0.5), Path("a"), tolerance=1e-4, least=0.9)


def replace_answer(logits: np.ndarray, steps: tuple[Step, ...]) -> Any:
    from types import SimpleNamespace

    exponentials = np.exp(logits)
    return SimpleNamespace(logits=logits, probabilities=exponentials / exponentials.sum(), steps=steps)
