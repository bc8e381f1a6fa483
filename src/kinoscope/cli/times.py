"""Options that several commands share, turned into what the layers take."""

from __future__ import annotations

import math

from ..data.features import FeatureTime
from ..errors import OptionError

EXAMPLE = "--fps 25 --stride 4 --clip-length 16"


def feature_time(fps: float | None, stride: float | None, clip_length: float | None) -> FeatureTime | None:
    """The time of ``.npy`` features, given once on the command line; all three numbers or none.

    Raises:
        OptionError: only some of the three were given, or one that is no positive number.
    """
    given = {"--fps": fps, "--stride": stride, "--clip-length": clip_length}
    for name, value in given.items():
        if value is not None and not 0 < value < math.inf:
            problem = f"{name} is {value:g}, but must be a positive number"
            raise OptionError(problem, cure=f"give the time of the features, as in {EXAMPLE}")
    missing = [name for name, value in given.items() if value is None]
    if len(missing) == len(given):
        return None
    if fps is None or stride is None or clip_length is None:
        raise OptionError(
            f"the time of features needs {' and '.join(missing)} too", cure=f"give all three or none, as in {EXAMPLE}"
        )
    return FeatureTime(fps, stride, clip_length)
