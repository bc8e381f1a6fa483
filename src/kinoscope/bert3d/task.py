"""What the training loop needs of a recogniser: batches in, losses out, the best weights on validation clips.

Source: sheet, sections 8 (training), 10.1 (where the published code chooses on the test list) and 11.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, AdamW
from torch.optim import Optimizer as TorchOptimizer

from ..data.hold_out import Ints
from ..engine import Task
from ..engine.best import BestWeights
from ..errors import KinoscopeError
from .network import TokenClassifier
from .options import HeadOptions, RecognizeOptions, plateau_factor, warm_cosine
from .token_clips import TokenClips, window_batch, windows

_WINDOWS_AT_ONCE = 64
_MOMENTUM = 0.9
_LEAST_GAIN = 1e-4


class _Plateau(nn.Module):
    """How many plateaus the validation loss has met; as a network of the task it is in every checkpoint."""

    best: Tensor
    waited: Tensor
    drops: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("best", torch.tensor(torch.inf))
        self.register_buffer("waited", torch.tensor(0))
        self.register_buffer("drops", torch.tensor(0))

    def see(self, loss: float, patience: int) -> None:
        """Take note of an epoch's loss; what is better by less than a ten-thousandth is not (PyTorch's rule)."""
        if loss < float(self.best) * (1 - _LEAST_GAIN):
            self.best.fill_(loss)
            self.waited.fill_(0)
            return
        self.waited += 1
        if int(self.waited) > patience:
            self.drops += 1
            self.waited.fill_(0)


class RecognizeTask(Task):
    """Training of a recogniser by cross-entropy; what a sample is, and who looks at it, its children say.

    Args:
        network: learns; samples -> logits.
        options: the recipe.
        labels: classes of the training clips. Shape: [N].
        held: classes of the validation clips, -1 where no training clip has it. Shape: [M].
        names: of the training clips.
    """

    early: Callable[[Tensor], None] | None = None
    """Called after each validation with the mean logits of the validation clips [M, K]."""

    def __init__(
        self, network: nn.Module, options: RecognizeOptions, labels: Ints, held: Ints, names: Sequence[str]
    ) -> None:
        self.options, self.labels, self.held, self.names = options, labels, held, list(names)
        self._plateau = _Plateau()
        self.networks = {"recognizer": network, "plateau": self._plateau}
        self._best: BestWeights | None = None
        if len(held) and options.select == "best":
            self._best = self.networks["best"] = BestWeights(network, figures=2)
        self.optimizers = {"recognizer": _optimizer(network, options)}

    @property
    def answer(self) -> nn.Module:
        """The network that counts, in evaluation mode."""
        network = self._best.network if self._best is not None else self.networks["recognizer"]
        return getattr(network, "module", network).eval()

    def __len__(self) -> int:
        return len(self.names)

    def describe(self, index: int) -> str:
        """The clip's name."""
        return self.names[index]

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Cross-entropy, and the accuracy on the batch."""
        logits = self.logits(batch)  # [B, K]
        right = (logits.argmax(dim=1) == batch["labels"]).float().mean()
        return {
            "loss": F.cross_entropy(logits, batch["labels"], label_smoothing=self.options.smoothing),
            "accuracy": right,
        }

    def logits(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Shape: a batch -> [B, K]."""
        raise NotImplementedError

    def validation_logits(self) -> Tensor:
        """Of every validation clip, the mean over its windows. Shape: [M, K]."""
        raise NotImplementedError

    def schedule(self, step: int, total: int) -> float:
        """See :class:`RecognizeOptions`."""
        factor = warm_cosine(step, total, self.options.warmup, self.options.schedule)
        return factor * plateau_factor(int(self._plateau.drops)) if self.options.schedule == "plateau" else factor

    def validate(self) -> dict[str, float]:
        """Loss and accuracy on the validation clips; the weights are kept if they are the best so far.

        Raises:
            KinoscopeError: answers that are NaN or infinite.
        """
        if not len(self.held):
            return {}
        logits = self.validation_logits().float().cpu()
        if not bool(logits.isfinite().all()):
            raise KinoscopeError("answers to validation clips are no finite numbers", cure="lower the learning rate")
        truth = torch.from_numpy(self.held)
        known = truth >= 0
        loss = float(F.cross_entropy(logits[known], truth[known])) if known.any() else 0.0
        accuracy = float((logits.argmax(dim=1) == truth).float().mean())
        self._plateau.see(loss, self.options.patience)
        if self._best is not None:
            network = self.networks["recognizer"]
            self._best.keep(getattr(network, "module", network), accuracy, -loss)  # the loss decides among equals
        if self.early is not None:
            self.early(logits)
        return {"validation_loss": loss, "validation_accuracy": accuracy}

    def settings(self) -> dict[str, Any]:
        """What, beside the loop's options, decides the result."""
        return {**self.options.identity(), "clips": [self.names, self.labels.tolist()], "held_out": len(self.held)}


class HeadTask(RecognizeTask):
    """Training of a head on the tokens of frozen encoders.

    Args:
        classifier: takes windows of up to ``tokens`` tokens.
        train: the clips to learn from.
        validation: those that choose the epoch; may be empty.
        tokens: N of a window; of a longer clip a window anywhere is looked at in each epoch.
    """

    def __init__(
        self,
        classifier: TokenClassifier,
        head: HeadOptions,
        options: RecognizeOptions,
        train: TokenClips,
        validation: TokenClips,
        tokens: int,
    ) -> None:
        super().__init__(classifier, options, train.labels, validation.labels, [clip.name for clip in train.clips])
        self.train, self.validation, self.tokens, self.head = train, validation, tokens, head

    def sample(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
        """A window of a clip, and the clip's class. Shape: [n, C], n ≤ N."""
        rows = self.train.rows[index]
        first = int(rng.integers(max(1, len(rows) - self.tokens + 1)))
        return np.asarray(rows[first : first + self.tokens], dtype=np.float32), int(self.labels[index])

    def collate(self, samples: list[tuple[np.ndarray, int]]) -> dict[str, Tensor]:
        """Shape: tokens [B, N, C], mask [B, N] unless all are of one length, labels [B]."""
        tokens, mask = window_batch([rows for rows, _ in samples])
        batch = {"tokens": tokens, "labels": torch.tensor([label for _, label in samples])}
        return batch if mask is None else {**batch, "mask": mask}

    def logits(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Shape: a batch -> [B, K]."""
        return self.networks["recognizer"](batch["tokens"], batch.get("mask"))

    def validation_logits(self) -> Tensor:
        """Of every validation clip, the mean over its windows. Shape: [M, K]."""
        return mean_logits(self.networks["recognizer"], self.validation.rows, self.tokens)

    def settings(self) -> dict[str, Any]:
        """What, beside the loop's options, decides the result."""
        digests = [self.train.digest(), self.validation.digest()]
        return {**super().settings(), "head": asdict(self.head), "tokens": self.tokens, "data": digests}


@torch.no_grad()
def mean_logits(network: nn.Module, clips: Iterable[np.ndarray], tokens: int) -> Tensor:
    """Logits of clips of rows [T, C], each the mean over the windows that tile it. Shape: -> [N, K]."""
    device = next(network.parameters()).device
    parts = [[rows[window] for window in windows(len(rows), tokens)] for rows in clips]
    every = [part for clip in parts for part in clip]
    found = []
    for first in range(0, len(every), _WINDOWS_AT_ONCE):
        batch, mask = window_batch(every[first : first + _WINDOWS_AT_ONCE])
        found.append(network(batch.to(device), None if mask is None else mask.to(device)))
    split = torch.cat(found).split([len(clip) for clip in parts])  # type: ignore[no-untyped-call]
    return torch.stack([logits.mean(dim=0) for logits in split])


def _optimizer(network: nn.Module, options: RecognizeOptions) -> TorchOptimizer:
    groups = parameter_groups(network, options)
    if options.optimizer == "sgd":
        return SGD(groups, options.learning_rate, momentum=_MOMENTUM, dampening=options.dampening)
    return AdamW(groups, options.learning_rate)


def parameter_groups(network: nn.Module, options: RecognizeOptions) -> list[dict[str, Any]]:
    """Parameters by rate and weight decay: those of ``backbone.`` learn slower; vectors and tokens do not decay.

    Raises:
        KinoscopeError: nothing learns.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            free = parameter.ndim < 2 or name.endswith(("positions", "class_token", "query"))
            decays = options.decay_all or not free
            groups.setdefault((name.startswith("backbone."), decays), []).append(parameter)
    if not groups:
        raise KinoscopeError("no parameter learns", cure="train a head, or fine-tune the encoder")
    return [
        {
            "params": members,
            "lr": options.learning_rate * (options.encoder_rate if slow else 1.0),
            "weight_decay": options.weight_decay if decays else 0.0,
        }
        for (slow, decays), members in groups.items()
    ]
