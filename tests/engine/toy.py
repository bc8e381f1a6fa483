"""A tiny task with everything that can go wrong on resume: two networks, dropout, random samples, a moving average."""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from torch import Tensor, nn

from kinoscope.engine import LoopOptions, Task, fit
from kinoscope.engine.seeds import seed_weights


class ToyTask(Task):
    def __init__(self, seed: int = 0, pause: float = 0.0) -> None:
        seed_weights(seed)
        self.pause = pause
        body = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1))
        average = torch.optim.swa_utils.AveragedModel(
            body, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
        )
        self.networks = {"body": body, "gate": nn.Linear(4, 1), "average": average}
        self.optimizers = {
            "body": torch.optim.AdamW(body.parameters(), lr=0.01),
            "gate": torch.optim.SGD(self.networks["gate"].parameters(), lr=0.01, momentum=0.9),
        }

    def __len__(self) -> int:
        return 21

    def sample(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        time.sleep(self.pause)
        return rng.normal(size=4).astype(np.float32) + index, float(index % 2)

    def collate(self, samples: list[tuple[np.ndarray, float]]) -> tuple[Tensor, Tensor]:
        x, y = zip(*samples, strict=True)
        return torch.from_numpy(np.stack(x)), torch.tensor(y)

    def loss(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        x, y = batch
        prediction = (self.networks["body"](x) * self.networks["gate"](x).sigmoid())[:, 0]  # [B]
        return {"loss": nn.functional.mse_loss(prediction, y)}

    def schedule(self, step: int, total: int) -> float:
        return 1 - step / total

    def after_step(self, step: int) -> None:
        self.networks["average"].update_parameters(self.networks["body"])

    def validate(self) -> dict[str, float]:
        return {"weight": float(self.networks["gate"].weight.sum())}


OPTIONS = LoopOptions(epochs=3, batch_size=4, seed=7, checkpoint_every=2, accelerator="cpu")

if __name__ == "__main__":  # python toy.py FOLDER: a slow run that a test kills
    fit(ToyTask(7, pause=0.02), sys.argv[1], OPTIONS, resume="--resume" in sys.argv)
