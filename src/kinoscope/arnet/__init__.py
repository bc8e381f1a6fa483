"""AR-Net (ECCV 2020): each frame at the resolution it needs, or skipped.

Reads like the paper: ``actions`` (section 3.1), ``gumbel`` (3.2), ``loss`` (3.3), ``network``; then training: ``looks``
at videos, three ``stages``, ``train``, the ``curve`` of what the knobs cost; and use: ``engine``, ``plan``, ``model``,
``stream``. ``baselines`` holds what it is compared with.
"""
