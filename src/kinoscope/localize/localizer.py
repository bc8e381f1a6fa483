"""A trained head with everything that it needs to be used: classes, the features it takes, how its output is decoded.

On disk it is a folder with ``model.safetensors`` and ``config.json``; no pickle.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..data.feature_spec import FeatureSpec
from ..data.features import Features
from ..data.padding import pad
from ..data.segments import Segment
from ..engine.model_folder import CONFIG, MAKE_ANEW, load_weights, read_config, save_model
from ..errors import OptionError, WeightError
from .batches import padded_length
from .decode import decode, to_segments
from .network import ActionFormer, Levels
from .options import ActionFormerOptions, DecodeOptions, options_from_dict
from .pieces import can_be_cut, in_pieces

ADAPTER = "adapter"
"""Folder inside a trained model that holds the adapter of its features, if they are adapted."""

KIND, VERSION = "localizer", 1
_ROWS_PER_BATCH = 8192
_GIVE_ONE = "give a localisation model: the folder that `kinoscope train localize` wrote"


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
        config = {
            "kind": KIND,
            "version": VERSION,
            "head": {"name": "actionformer", **asdict(self.network.options)},
            "classes": list(self.classes),
            "features": asdict(self.features),
            "decoding": asdict(self.decoding),
        }
        save_model(folder, self.network, config)

    @classmethod
    def load(cls, folder: str | Path) -> Localizer:
        """Read what :meth:`save` wrote.

        Raises:
            WeightError: missing or damaged files, another kind of model, a newer version, weights that do not fit.
        """
        path = Path(folder) / CONFIG
        config = read_config(folder, KIND, VERSION, _GIVE_ONE)
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
            raise WeightError(f"has no {error}", where=path, cure=MAKE_ANEW) from error
        except (OptionError, TypeError, ValueError, RuntimeError) as error:  # RuntimeError: sizes beyond any memory
            problem = error.problem if isinstance(error, OptionError) else str(error)
            raise WeightError(f"cannot be used: {problem}", where=path, cure=MAKE_ANEW) from error
        load_weights(folder, network)
        return model
