"""A trained head with everything that it needs to be used: classes, the features it takes, how its output is decoded.

On disk it is a folder with ``model.safetensors`` and ``config.json``; no pickle.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.features import Features
from ..data.segments import Segment
from ..errors import OptionError, WeightError
from ..files import atomic_path, write_json
from .batches import pad, padded_length
from .decode import decode, to_segments
from ..data.feature_spec import FeatureSpec
from .network import ActionFormer, Levels
from .options import ActionFormerOptions, DecodeOptions, options_from_dict
from .pieces import can_be_cut, in_pieces

ADAPTER = "adapter"
"""Folder inside a trained model that holds the adapter of its features, if they are adapted."""

KIND, VERSION = "localizer", 1
_ROWS_PER_BATCH = 8192
_MAKE_ANEW = "train it again, or copy the whole folder again"


class Localizer:
    """Features of a video → its segments.

    Args:
        network: the trained head.
        classes: name of each class, in the order of the head's outputs.
        features: what features the head was trained on.
        decoding: how its output becomes segments.
    """

    def __init__(
        self,
        network: ActionFormer,
        classes: Sequence[str],
        features: FeatureSpec,
        decoding: DecodeOptions | None = None,
    ) -> None:
        head = network.options
        if len(classes) != head.classes or len(set(classes)) != len(classes):
            raise OptionError(
                f"{len(classes)} class names ({len(set(classes))} different) for a head of {head.classes} classes",
                cure="give one name per class",
            )
        if features.width != head.input_width:
            raise OptionError(f"features have {features.width} channels, the head takes {head.input_width}")
        self.network = network.eval()
        self.classes = tuple(classes)
        self.features = features
        self.decoding = decoding or DecodeOptions()

    def to(self, device: str | torch.device) -> Localizer:
        """Move the network to ``device``; returns itself."""
        self.network.to(device)
        return self

    def localize_features(self, features: Features) -> list[Segment]:
        """Segments in seconds, best first.

        Raises:
            FeatureError: features of another encoder, width or step than the model's, without rows, or with NaN.
        """
        return self.localize_many([features])[0]

    def localize_many(self, videos: Sequence[Features]) -> list[list[Segment]]:
        """Segments of each video, computed in batches of similar length; the same as one at a time."""
        for features in videos:
            self.features.check(features)
        found: list[list[Segment]] = [[] for _ in videos]
        for places in self._batches([len(features) for features in videos]):
            for place, segments in zip(places, self._localize([videos[place] for place in places]), strict=True):
                found[place] = segments
        return found

    @torch.inference_mode()
    def localize_with_scores(self, features: Features) -> tuple[list[Segment], np.ndarray]:
        """Segments of a video, as :meth:`localize_features`, and class scores, as :meth:`class_scores`, in one pass."""
        self.features.check(features)
        outputs, mask = self._outputs([features])
        return self._segments([features], outputs, mask)[0], self._class_scores(outputs, len(features))

    @torch.inference_mode()
    def class_scores(self, features: Features) -> np.ndarray:
        """How probable each class is at each row: the largest score of any level there. Shape: [T, K]."""
        self.features.check(features)
        outputs, _ = self._outputs([features])
        return self._class_scores(outputs, len(features))

    @torch.inference_mode()
    def _localize(self, videos: list[Features]) -> list[list[Segment]]:
        return self._segments(videos, *self._outputs(videos))

    def _segments(self, videos: Sequence[Features], outputs: Levels, mask: Tensor) -> list[list[Segment]]:
        found = decode(outputs, mask, self.network.options, self.decoding)
        return [
            to_segments(candidates, video.time, len(video), self.classes, self.decoding)
            for candidates, video in zip(found, videos, strict=True)
        ]

    def _outputs(self, videos: Sequence[Features]) -> tuple[Levels, Tensor]:
        """What the network says of a batch, and the mask [B, T]; a long video goes through it in pieces."""
        head = self.network.eval().options  # the training loop may have switched the mode
        if len(videos) == 1 and len(videos[0]) > _ROWS_PER_BATCH and can_be_cut(self.network):
            return in_pieces(self.network, videos[0].values), torch.ones(1, len(videos[0]), dtype=torch.bool)
        values, mask = pad([video.values for video in videos], padded_length(max(map(len, videos)), head))
        device = next(self.network.parameters()).device
        return self.network(values.to(device), mask.to(device)), mask

    def _class_scores(self, outputs: Levels, rows: int) -> np.ndarray:
        """Shape: outputs of one video -> [T, K]."""
        head = self.network.options
        scores = torch.zeros(outputs[0][0].shape[1], head.classes, device=outputs[0][0].device)  # [T, K]
        for (logits, _), stride in zip(outputs, head.strides, strict=True):
            spread = logits[0].sigmoid().repeat_interleave(stride, dim=0)  # [T_l, K] -> [T_l · stride, K]
            scores = torch.maximum(scores, spread[: len(scores)])
        return scores[:rows].cpu().numpy()

    def _batches(self, lengths: list[int]) -> Iterator[list[int]]:
        """Places of videos that fit together; an official head gets only videos that it pads to the same length."""
        batch: list[int] = []
        head = self.network.options
        for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
            longest = padded_length(lengths[batch[0]], head) if batch else 0
            alike = head.mask_clean or padded_length(lengths[place], head) == longest
            if batch and not (alike and longest * (len(batch) + 1) <= _ROWS_PER_BATCH):
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch

    def save(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` and ``config.json`` into ``folder``, each atomically."""
        from safetensors.torch import save_file

        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in self.network.state_dict().items()}
        with atomic_path(Path(folder) / "model.safetensors") as temporary:
            save_file(weights, temporary)
        config = {
            "kind": KIND,
            "version": VERSION,
            "head": {"name": "actionformer", **asdict(self.network.options)},
            "classes": list(self.classes),
            "features": asdict(self.features),
            "decoding": asdict(self.decoding),
        }
        write_json(Path(folder) / "config.json", config)

    @classmethod
    def load(cls, folder: str | Path) -> Localizer:
        """Read what :meth:`save` wrote.

        Raises:
            WeightError: missing or damaged files, another kind of model, a newer version, weights that do not fit.
        """
        path = Path(folder) / "config.json"
        config = _read_config(path)
        try:
            head = dict(config["head"])
            if (name := head.pop("name", None)) != "actionformer":
                raise WeightError(f"the head is {name!r}, but only 'actionformer' is known", where=path)
            with torch.device("meta"):  # sizes are compared with the weights before any memory is taken
                network = ActionFormer(options_from_dict(ActionFormerOptions, head))
            spec = options_from_dict(FeatureSpec, config["features"])
            decoding = options_from_dict(DecodeOptions, config.get("decoding", {}))
            model = cls(network, [str(label) for label in config["classes"]], spec, decoding)
        except KeyError as error:
            raise WeightError(f"has no {error}", where=path, cure=_MAKE_ANEW) from error
        except (OptionError, TypeError, ValueError, RuntimeError) as error:  # RuntimeError: sizes beyond any memory
            problem = error.problem if isinstance(error, OptionError) else str(error)
            raise WeightError(f"cannot be used: {problem}", where=path, cure=_MAKE_ANEW) from error
        _load_weights(network, Path(folder) / "model.safetensors")
        return model


def _read_config(path: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WeightError("no such file", where=path, cure="give the folder that `kinoscope train` wrote") from error
    except (OSError, ValueError) as error:
        raise WeightError(f"cannot be read: {error}", where=path, cure=_MAKE_ANEW) from error
    if not isinstance(config, dict) or config.get("kind") != KIND:
        kind = config.get("kind") if isinstance(config, dict) else type(config).__name__
        raise WeightError(f"holds a model of kind {kind!r}, not {KIND!r}", where=path, cure="give a localisation model")
    if config.get("version") != VERSION:
        raise WeightError(
            f"has version {config.get('version')!r}, but this program reads version {VERSION}",
            where=path,
            cure="update Kinoscope",
        )
    return config


def _load_weights(network: ActionFormer, path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(path)
    except FileNotFoundError as error:
        raise WeightError("no such file", where=path, cure=_MAKE_ANEW) from error
    except (SafetensorError, OSError) as error:
        raise WeightError(f"cannot be read as weights: {error}", where=path, cure=_MAKE_ANEW) from error
    try:
        network.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise WeightError(f"does not fit config.json: {error}", where=path, cure=_MAKE_ANEW) from error
