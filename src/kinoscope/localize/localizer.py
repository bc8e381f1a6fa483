"""A trained head with everything that it needs to be used: classes, the features it takes, how its output is decoded.

On disk it is a folder with ``model.safetensors`` and ``config.json``; no pickle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from ..data.feature_resize import resize
from ..data.feature_spec import FeatureSpec
from ..data.features import Features
from ..data.segments import Segment
from ..engine.model_folder import CONFIG, MAKE_ANEW, load_weights, read_config, save_model
from ..errors import OptionError, WeightError
from .decode import Seen, to_segments
from .heads import HEADS, Network, head_of, list_heads, name_of
from .options import DecodeOptions, options_from_dict

ADAPTER = "adapter"
"""Folder inside a trained model that holds the adapter of its features, if they are adapted."""
ENCODER = "encoder"
"""Folder inside a model that was trained end to end; it holds the encoder, whose last blocks learned with the head."""

KIND, VERSION = "localizer", 1
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
        network: Network,
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
        self._head = head_of(network)
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
        videos = [self._fitted(features) for features in videos]
        found: list[list[Segment]] = [[] for _ in videos]
        for places in self._head.batches([len(features) for features in videos]):
            batch = [videos[place] for place in places]
            for place, segments in zip(places, self._segments(self._look(batch), batch), strict=True):
                found[place] = segments
        return found

    def localize_with_scores(self, features: Features) -> tuple[list[Segment], np.ndarray]:
        """Segments of a video, as :meth:`localize_features`, and class scores, as :meth:`class_scores`, in one pass."""
        self.features.check(features)
        fitted = self._fitted(features)
        seen = self._look([fitted])
        return self._segments(seen, [fitted])[0], self._of_rows(seen[0].class_scores, len(features))

    def class_scores(self, features: Features) -> np.ndarray:
        """How probable each class is at each row: the largest score of a point or a segment there. Shape: [T, K]."""
        self.features.check(features)
        return self._of_rows(self._look([self._fitted(features)])[0].class_scores, len(features))

    def _fitted(self, features: Features) -> Features:
        """The video in as many rows as the head takes, where it takes whole videos."""
        return features if self._head.resized is None else resize(features, self._head.resized)

    def _of_rows(self, scores: np.ndarray, rows: int) -> np.ndarray:
        """Scores of the video's own rows from those of the head's. Shape: [T', K] → [T, K]."""
        if self._head.resized is None:
            return scores
        return np.asarray(scores[((np.arange(rows) + 0.5) * len(scores) / rows).astype(np.int64)])

    @torch.inference_mode()
    def _look(self, videos: Sequence[Features]) -> list[Seen]:
        seen = self._head.look([video.values for video in videos], self.decoding)
        if not all(np.isfinite(each.class_scores).all() for each in seen):
            raise WeightError(
                "the model gives NaN or infinity", cure="its weights are damaged: train or convert it again"
            )
        return seen

    def _segments(self, seen: Sequence[Seen], videos: Sequence[Features]) -> list[list[Segment]]:
        candidates, times = [each.candidates for each in seen], [video.time for video in videos]
        return to_segments(candidates, times, [len(video) for video in videos], self.classes, self.decoding)

    def save(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` and ``config.json`` into ``folder``, each atomically."""
        config = {
            "kind": KIND,
            "version": VERSION,
            "head": {"name": name_of(self.network.options), **asdict(self.network.options)},
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
            if (name := head.pop("name", None)) not in list_heads():
                raise WeightError(f"the head is {name!r}, but known are {', '.join(list_heads())}", where=path)
            kind, build = HEADS[name]
            with torch.device("meta"):  # sizes are compared with the weights before any memory is taken
                network = build(options_from_dict(kind, head))
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
