"""The k nearest training videos vote on the class of a test video. Nothing is trained, nothing is chosen.

A vote weighs exp(cosine / 0.07), as is usual since instance discrimination (Wu, Xiong, Yu, Lin; CVPR 2018, section
3.4); rows are not centred, so that a test video's answer does not hang on the other test videos.
Letters: N test videos, M training videos, K classes.
"""

from __future__ import annotations

import numpy as np

from ..errors import OptionError
from .matching import Floats, Ints

TEMPERATURE = 0.07


def knn_probabilities(
    similarity: Floats, train_labels: Ints, classes: int, k: int, *, temperature: float = TEMPERATURE
) -> Floats:
    """Shares of the votes of the ``k`` nearest training videos. Shape: [N, M] -> [N, K].

    Of equally near videos the one of lower index votes; k beyond M lets all vote.

    Args:
        similarity: cosines (see :func:`~kinoscope.evaluate.retrieval.similarities`); for two streams their mean.
        train_labels: below ``classes``. Shape: [M].
        classes: K.
        k: how many vote.
        temperature: infinity counts every vote alike (plain majority).

    Raises:
        OptionError: k is below 1, or the temperature not above 0.
    """
    if k < 1:
        raise OptionError(f"k is {k}, but must be at least 1", cure="1, 5, 10 and 20 are usual")
    if not temperature > 0:
        raise OptionError(f"temperature is {temperature}, but must be above 0", cure="0.07 is usual")
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :k]  # [N, k]
    near = np.take_along_axis(similarity, nearest, axis=1)  # [N, k]
    votes = np.exp((near - near[:, :1]) / temperature)  # relative to the nearest: never overflows
    share = np.zeros((len(similarity), classes))
    np.add.at(share, (np.arange(len(similarity))[:, None], np.asarray(train_labels)[nearest]), votes)
    return np.asarray(share / share.sum(axis=1, keepdims=True))  # [N, K]
