"""Which options of ``kinoscope adapt`` go together: one that would do nothing is a misunderstanding."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Literal

from ..errors import OptionError, flag
from ..sola.options import Preset, SolaOptions, SolaTraining

Method = Literal["sola", "identity", "moving-average", "random", "whitening", "two-stream"]


def refuse_ignored(
    method: Method,
    adapter: Path | None,
    motion: Path | None,
    labels: Path | None,
    resume: bool,
    average_rows: int,
    variance: float,
) -> None:
    """Raise :class:`OptionError` for options of another method than the chosen one."""
    if (motion is not None) != (method == "two-stream"):
        raise OptionError("--motion and --method two-stream go together", cure="give both or none")
    if method == "two-stream" and (adapter is not None or labels is not None or resume):
        cure = "leave them out: nothing is trained; --overwrite writes anew"
        raise OptionError("--method two-stream takes neither --adapter nor --labels nor --resume", cure=cure)
    if adapter is not None and (method != "sola" or labels is not None):
        cure = "leave them out: the adapter is what it is"
        raise OptionError("--adapter goes with neither --method nor --labels", where=adapter, cure=cure)
    if average_rows != 5 and method != "moving-average":
        raise OptionError("--average-rows is of --method moving-average", cure="add it, or leave the rows out")
    if variance != 0.99 and method != "whitening":
        raise OptionError("--variance is of --method whitening", cure="add it, or leave the variance out")


def refuse_sola_options(
    method: Method, adapter: Path | None, preset: Preset, options: SolaOptions, training: SolaTraining
) -> None:
    """Raise :class:`OptionError` for options of SoLa where it is not trained; the random adapter has some of them."""
    given = {each.name: getattr(options, each.name) for each in fields(options)}
    given |= {each.name: getattr(training, each.name) for each in fields(training)}
    usual = asdict(SolaOptions()) | asdict(SolaTraining())
    used = {"hidden", "kernel", "dilation", "margin", "seed"} if method == "random" else set()
    changed = [flag(name) for name in given if given[name] != usual[name] and name not in used]
    changed += ["--preset"] if preset != "official" else []
    if changed and (adapter is not None or method != "sola"):
        because = "--adapter trains nothing" if adapter is not None else f"--method {method} trains nothing"
        raise OptionError(f"{', '.join(changed)} would be ignored: {because}", cure="leave them out")
