"""What our tensors are called in the public releases of backbones: one function for each, our name → theirs.

In our names ``backbone.`` is before those of the network and ``last.`` before those of the classifier. Sources: the
public code of torchvision, PyTorchVideo, facebookresearch/SlowFast, piergiaj/pytorch-i3d and
hassony2/kinetics_i3d_pytorch. Where our layers have the released names anyway, :func:`same_names` does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

Naming = Callable[[str], str]

_BACKBONE, _LAST = "backbone.", "last."
_IN_A_ROW = ("1a", "pool", "2b", "2c", "pool", "3b", "3c", "pool", "4b", "4c", "4d", "4e", "4f", "pool", "5b", "5c")
_TORCHVISION = {"conv1": "0.0", "bn1": "0.1", "conv2": "1.0", "bn2": "1.1", "conv": "0", "bn": "1"}
_HASSONY2 = {"b0": "branch_0", "bn": "batch3d", "b3b": "branch_3.1"} | {
    f"b{branch}{unit}": f"branch_{branch}.{place}" for branch in (1, 2) for place, unit in enumerate("ab")
}
_FACEBOOK = {
    "conv": "conv_f2s",
    "bn": "bn",
    "downsample.0": "branch1",
    "downsample.1": "branch1_bn",
    **{f"conv{place}": f"branch2.{letter}" for place, letter in enumerate("abc", 1)},
    **{f"bn{place}": f"branch2.{letter}_bn" for place, letter in enumerate("abc", 1)},
}
_PYTORCHVIDEO = {
    "conv": "conv_fast_to_slow",
    "bn": "norm",
    "downsample.0": "branch1_conv",
    "downsample.1": "branch1_norm",
    **{f"conv{place}": f"branch2.conv_{letter}" for place, letter in enumerate("abc", 1)},
    **{f"bn{place}": f"branch2.norm_{letter}" for place, letter in enumerate("abc", 1)},
}
_PATHWAY = {"slow": 0, "fast": 1}


def same_names(classifier: str) -> Naming:
    """``backbone.layer1.0.bn1.bias`` → ``layer1.0.bn1.bias``; the classifier is called ``classifier``."""
    return lambda name: name.removeprefix(_BACKBONE).replace(_LAST, f"{classifier}.", 1)


def inception_place(layer: str) -> int:
    """Which place the layer ``Conv_2b``, ``Conv3d_2b_1x1`` or ``Mixed_3b`` has in a row with the pools."""
    return _IN_A_ROW.index(layer.split("_")[1])


def torchvision_s3d(name: str) -> str:
    """``backbone.Mixed_3b.branch1.1.bn2.bias`` → ``features.5.branch1.1.1.1.bias``."""
    if name.startswith(_LAST):
        return name.replace(_LAST, "classifier.1.")
    _, layer, rest = name.split(".", 2)
    rest = rest.replace("branch0.0.", "branch0.")  # there it is a unit, not a row of one
    return f"features.{inception_place(layer)}.{_translated(rest, _TORCHVISION)}"


def hassony2_i3d(name: str) -> str:
    """``backbone.Mixed_3b.b1a.bn.bias`` → ``mixed_3b.branch_1.0.batch3d.bias``."""
    if name.startswith(_LAST):
        return name.replace(_LAST, "conv3d_0c_1x1.conv3d.")
    _, layer, rest = name.split(".", 2)
    return f"{layer[0].lower()}{layer[1:]}.{_translated(rest, _HASSONY2)}"


def slowfast_facebook(name: str) -> str:
    """``backbone.slow.1.2.bn3.bias`` → ``s3.pathway0_res2.branch2.c_bn.bias``."""
    name = name.removeprefix(_BACKBONE).replace(_LAST, "head.projection.")
    name = re.sub(r"^(slow|fast)_stem", lambda m: f"s1.pathway{_PATHWAY[m[1]]}_stem", name)
    name = re.sub(r"^fusions\.(\d)\.(conv|bn)", lambda m: f"s{int(m[1]) + 1}_fuse.{_FACEBOOK[m[2]]}", name)
    return re.sub(
        r"^(slow|fast)\.(\d)\.(\d)\.(conv\d|bn\d|downsample\.\d)",
        lambda m: f"s{int(m[2]) + 2}.pathway{_PATHWAY[m[1]]}_res{m[3]}.{_FACEBOOK[m[4]]}",
        name,
    )


def slowfast_pytorchvideo(name: str) -> str:
    """``backbone.slow.1.2.bn3.bias`` → ``blocks.2.multipathway_blocks.0.res_blocks.2.branch2.norm_c.bias``."""
    ways = "multipathway_blocks"
    name = name.removeprefix(_BACKBONE).replace(_LAST, "blocks.6.proj.")
    name = re.sub(r"^(slow|fast)_stem\.bn", r"\1_stem.norm", name)
    name = re.sub(r"^(slow|fast)_stem", lambda m: f"blocks.0.{ways}.{_PATHWAY[m[1]]}", name)
    name = re.sub(
        r"^fusions\.(\d)\.(conv|bn)", lambda m: f"blocks.{m[1]}.multipathway_fusion.{_PYTORCHVIDEO[m[2]]}", name
    )
    return re.sub(
        r"^(slow|fast)\.(\d)\.(\d)\.(conv\d|bn\d|downsample\.\d)",
        lambda m: f"blocks.{int(m[2]) + 1}.{ways}.{_PATHWAY[m[1]]}.res_blocks.{m[3]}.{_PYTORCHVIDEO[m[4]]}",
        name,
    )


def _translated(name: str, parts: Mapping[str, str]) -> str:
    return ".".join(parts.get(part, part) for part in name.split("."))
