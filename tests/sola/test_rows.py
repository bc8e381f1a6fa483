from __future__ import annotations

import pytest
import torch

from kinoscope.sola import SoLa, SolaOptions


@pytest.mark.parametrize(("kernel", "step", "margin"), [(1, 1, 0), (3, 1, 1), (5, 2, 4), (5, 2, 2), (9, 3, 4)])
def test_asking_for_some_rows_gives_those_of_the_whole(kernel: int, step: int, margin: int) -> None:
    options = SolaOptions(hidden=6, kernel=kernel, step=step, margin=margin, size=5)
    adapter = SoLa(4, options).double()
    torch.nn.init.constant_(adapter.alpha, 0.8)
    windows = torch.randn(3, options.window, 4, dtype=torch.float64, requires_grad=True)
    some = adapter(windows, options.positions)
    whole = adapter(windows)[:, list(options.positions)]
    torch.testing.assert_close(some, whole)
    weight = torch.randn_like(some)
    gradients = [
        torch.autograd.grad((y * weight).sum(), [windows, *adapter.parameters()], retain_graph=True)
        for y in (some, whole)
    ]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("dilation", [1, 2])
def test_padded_it_gives_what_it_gives_alone(dilation: int) -> None:
    adapter = SoLa(4, SolaOptions(hidden=6, dilation=dilation)).double()
    torch.nn.init.constant_(adapter.alpha, 0.8)
    videos = [torch.randn(length, 4, dtype=torch.float64) for length in (1, 7, 12)]
    batch = torch.full((3, 12, 4), 9.0, dtype=torch.float64)  # rubbish where nothing is
    mask = torch.zeros(3, 12, dtype=torch.bool)
    for row, video in enumerate(videos):
        batch[row, : len(video)], mask[row, : len(video)] = video, True
    padded = adapter(batch, mask=mask)
    for row, video in enumerate(videos):
        torch.testing.assert_close(padded[row, : len(video)], adapter(video[None])[0])
        assert not padded[row, len(video) :].any()
    some = adapter(batch, range(4, 8, 3), mask)
    torch.testing.assert_close(some, padded[:, 4:8:3])
