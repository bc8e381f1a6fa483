"""One stage of pretraining as the loop sees it: the loss of a batch, written in the order of the sheet's section 4."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim import Adam

from ..engine import Task
from ..engine.seeds import seed_weights
from ..video.scaling import Frame
from ..video.streams import normalise
from .gather import align, gather
from .loss import multi_instance_nce, similarity_logits, uber_nce
from .mining import EMPTY, drop_self, mine, positive_mask, same_as_row
from .network import ClipEncoder, Embedding, FrozenEmbedding, momentum_update
from .options import Method, PretrainOptions, rate_factor
from .pairs import TrainedStream
from .queue import MemoryQueue


class ViewSource(Protocol):
    """Where pairs of views come from: see :class:`~kinoscope.coclr.pairs.PairedViews`."""

    @property
    def sources(self) -> npt.NDArray[np.int64]:
        """Which videos are of one source. Shape: [N]."""

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Class of each video, -1 where it is not known. Shape: [N]."""

    def __len__(self) -> int:
        """How many videos there are."""

    def sample(
        self, index: int, rng: np.random.Generator, query: Sequence[TrainedStream], key: Sequence[TrainedStream]
    ) -> dict[str, dict[TrainedStream, Frame]]:
        """Two views of a video, each in the streams asked for. Shape of each: [T, S, S, 3], uint8."""

    def describe(self, index: int) -> str:
        """The video's name."""


@dataclass(frozen=True)
class _Seen:
    """A batch and the queue before the batch entered it: what figures are worked out from when they are asked for."""

    sources: Tensor
    """[B]"""
    labels: Tensor
    """[B]"""
    logits: Tensor
    """[B, 1 + K]"""
    positives: Tensor
    """[B, 1 + K]"""
    used: Tensor
    """[B, 1 + K]: the positives, perhaps without the own key."""
    keys: Tensor
    """[K, D]"""
    queue_sources: Tensor
    """[K]"""
    queue_labels: Tensor
    """[K]"""


class PretrainTask(Task):
    """InfoNCE, UberNCE, or one co-training run of CoCLR.

    Args:
        views: pairs of views.
        stream: the stream that is trained.
        method: ``"coclr"`` mines positives with ``sampler``.
        start: where query and key begin; its weights are copied.
        sampler: the other stream's network, frozen; only for CoCLR.
        other: the stream that the sampler sees.
        other_dim: channels of the sampler's features.
        options: resolved, see :meth:`PretrainOptions.resolve`.
    """

    whole_batches = True  # batch norm, and the queue's rhythm, want batches of one size

    def __init__(
        self,
        views: ViewSource,
        stream: TrainedStream,
        method: Method,
        start: ClipEncoder,
        options: PretrainOptions,
        *,
        sampler: Embedding | FrozenEmbedding | None = None,
        other: TrainedStream = "flow",
        other_dim: int = 0,
        layout: torch.memory_format = torch.channels_last_3d,
    ) -> None:
        self.views, self.stream, self.method, self.other, self.options = views, stream, method, other, options
        self.layout = layout
        self.query = Embedding(copy.deepcopy(start)).to(memory_format=layout)  # type: ignore[call-overload]
        self.key = copy.deepcopy(self.query).requires_grad_(False)
        seed_weights(options.seed)  # the queue's random vectors follow from the seed alone
        self.queue = MemoryQueue(options.queue or 1, options.dim, other_dim if sampler is not None else 0)
        self.networks: dict[str, nn.Module] = {"query": self.query, "key": self.key, "queue": self.queue}
        self._sees_pictures = isinstance(sampler, FrozenEmbedding)
        if sampler is not None:
            self.networks["sampler"] = sampler.requires_grad_(False).eval()
        self.optimizers = {
            "query": Adam(self.query.parameters(), options.learning_rate or 0.0, weight_decay=options.weight_decay)
        }
        self._seen: _Seen | None = None

    # ---- data ----------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.views)

    def describe(self, index: int | tuple[int, int]) -> str:
        """Name of the video."""
        return self.views.describe(index[0] if isinstance(index, tuple) else index)

    def shares(self, batch: list[int], processes: int, rng: np.random.Generator) -> list[list[Any]]:
        """With batch norm and several processes, keys are shuffled between them: each sample names a video for its
        query and another for its key, so that only indices travel, no clips."""
        if processes == 1 or self.options.normalization != "batch":
            return super().shares(batch, processes, rng)
        keys = [batch[position] for position in rng.permutation(len(batch))]
        return super().shares(list(zip(batch, keys, strict=True)), processes, rng)  # type: ignore[arg-type]  # pairs

    def sample(self, index: Any, rng: Any) -> dict[str, Any]:
        """Query and key view of one video, or of two where keys are shuffled."""
        seen: tuple[TrainedStream, ...] = (self.stream, self.other) if "sampler" in self.networks else (self.stream,)
        if not isinstance(index, tuple):
            pair = self.views.sample(index, rng, (self.stream,), seen)
            return {"query": pair["query"][self.stream], "key": pair["key"], "index": index, "key_index": index}
        (query, key), (of_query, of_key) = index, rng
        return {
            "query": self.views.sample(query, of_query, (self.stream,), ())["query"][self.stream],
            "key": self.views.sample(key, of_key, (), seen)["key"],
            "index": query,
            "key_index": key,
        }

    def collate(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """Clips stay uint8: a quarter of the bytes to move. Shape: clips [B, T, S, S, 3], indices and labels [B]."""
        index = np.array([sample["index"] for sample in samples])
        batch = {
            "query": _stack([sample["query"] for sample in samples]),
            "index": torch.from_numpy(index),
            "key_index": torch.tensor([sample["key_index"] for sample in samples]),
            "source": torch.from_numpy(self.views.sources[index]),
            "label": torch.from_numpy(self.views.labels[index]),
        }
        return batch | {f"key_{name}": _stack([s["key"][name] for s in samples]) for name in samples[0]["key"]}

    # ---- one update ----------------------------------------------------------------------------------------------

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The stage's loss; no ``"loss"`` while mining waits for a full queue."""
        options, queue = self.options, self.queue
        keep_self = bool(torch.rand(()) >= options.self_drop)  # one draw for the whole batch, from the step's seed
        query = self.networks["query"](self._clip(batch["query"]))  # [B, D]
        momentum_update(self.key, self.query, options.momentum or 0.0)
        with torch.no_grad():
            key = self.networks["key"](self._clip(batch[f"key_{self.stream}"]))  # [B, D]
            other = self._sampled(batch)  # [B, D'] or None
        everywhere = {"source": gather(batch["source"]), "label": gather(batch["label"])}
        order = (gather(batch["key_index"]), gather(batch["index"]))
        all_keys = align(gather(key), *order)  # [W · B, D]: keys of all processes, in the order of the queries
        all_others = None if other is None else align(gather(other), *order)
        key, other = _own(all_keys, len(query)), None if all_others is None else _own(all_others, len(query))

        slots = queue.keys.clone()  # the gradient needs them as they were before the batch entered
        logits = similarity_logits(query, key, slots, options.temperature)  # [B, 1 + K]
        positives = self._positives(batch, key, other)  # [B, 1 + K]
        ready = self.method != "coclr" or queue.full
        used = positives if keep_self or self.method != "coclr" else drop_self(positives)
        rows = uber_nce(logits, used) if self.method == "ubernce" else multi_instance_nce(logits, used)
        ids = (queue.sources.clone(), queue.labels.clone())
        self._seen = _Seen(batch["source"], batch["label"], logits.detach(), positives, used, slots, *ids)
        queue.enqueue(all_keys, everywhere["source"], others=all_others, labels=everywhere["label"])
        own_first = (logits.argmax(dim=1) == 0).float().mean()
        found = {"own_key_first": own_first, "positives": positives.sum(dim=1).float().mean()}
        return {"loss": rows.mean(), **found} if ready else found

    def _clip(self, frames: Tensor) -> Tensor:
        """Shape: [B, T, S, S, 3] uint8 -> [B, 3, T, S, S] normalised."""
        return normalise(frames).contiguous(memory_format=self.layout)

    def _sampled(self, batch: dict[str, Tensor]) -> Tensor | None:
        """The sampler's features of the key views. Shape: [B, D'], unit vectors."""
        if "sampler" not in self.networks:
            return None
        sampler, frames = self.networks["sampler"], batch[f"key_{self.other}"]
        sampler.eval()  # batch norm keeps its statistics for the whole run
        return sampler(frames if self._sees_pictures else self._clip(frames))

    def _positives(self, batch: dict[str, Tensor], key: Tensor, other: Tensor | None) -> Tensor:
        """Shape: [B, 1 + K], bool."""
        queue, options = self.queue, self.options
        if self.method == "coclr":
            assert other is not None
            mutual = {"own": key, "own_queue": queue.keys} if options.mutual else {}
            return mine(other, queue.others, batch["source"], queue.sources, options.topk, **mutual)
        if self.method == "ubernce":
            same = same_as_row(batch["label"], queue.labels)
        else:  # siblings are negatives, as in the official InfoNCE stage
            same = torch.zeros(len(key), len(queue), dtype=torch.bool, device=key.device)
        return positive_mask(same, torch.zeros_like(same))

    # ---- what is logged ------------------------------------------------------------------------------------------

    def monitor(self) -> dict[str, float]:
        """Of the last batch: fill of the queue, mean cosine of its keys (1: collapsed), probability on the positives,
        share of rows with slots of the same source, share of rows whose only positive is their own key, and, with
        labels, the share of mined positives that have the row's class."""
        seen = self._seen
        assert seen is not None
        share = seen.logits.softmax(dim=1)  # [B, 1 + K]
        same = same_as_row(seen.sources, seen.queue_sources)  # [B, K]
        figures: dict[str, Tensor | float] = {
            "queue_filled": (seen.queue_sources != EMPTY).float().mean(),
            "key_similarity": key_similarity(seen.keys),
            "positive_mass": (share * seen.used).sum(dim=1).mean(),
            "rows_with_siblings": same.any(dim=1).float().mean(),
            "self_only": (seen.positives.sum(dim=1) == 1).float().mean(),
        }
        mined = seen.positives[:, 1:] & ~same
        known = mined & (seen.labels[:, None] >= 0) & (seen.queue_labels >= 0)
        if self.method == "coclr" and known.any():
            right = known & (seen.labels[:, None] == seen.queue_labels)
            figures["mined_precision"] = right.sum() / known.sum()
        return {name: float(value) for name, value in figures.items()}

    def schedule(self, step: int, total: int) -> float:
        """Step decay (specification, section 5)."""
        kind: Literal["init", "cotrain"] = "cotrain" if self.method == "coclr" else "init"
        return rate_factor(step, total, kind)


def key_similarity(keys: Tensor) -> float:
    """Mean cosine between any two of the unit vectors ``keys``. Shape: [K, D]."""
    return float(keys.mean(dim=0).square().sum())


def _stack(clips: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(clips))


def _own(rows: Tensor, count: int) -> Tensor:
    """This process's rows of what :func:`gather` gave. Shape: [W · B, …] -> [B, …]."""
    if len(rows) == count:
        return rows
    import torch.distributed as dist

    return rows[dist.get_rank() :: dist.get_world_size()]
