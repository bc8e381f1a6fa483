"""Options that several commands share, turned into what the layers take."""

from __future__ import annotations

from ..data.features import FeatureTime
from ..errors import OptionError


def feature_time(fps: float | None, stride: float | None, clip_length: float | None) -> FeatureTime | None:
    """The time of ``.npy`` features, given once on the command line; all three numbers or none.

    Raises:
        OptionError: only some of the three were given.
    """
    given = {"--fps": fps, "--stride": stride, "--clip-length": clip_length}
    missing = [name for name, value in given.items() if value is None]
    if len(missing) == len(given):
        return None
    if fps is None or stride is None or clip_length is None:
        raise OptionError(f"the time of features needs {' and '.join(missing)} too", cure="give all three or none")
    return FeatureTime(fps, stride, clip_length)
