"""Public data sets as they are unpacked, and users' own: each file here reads one layout.

Of clips into a :class:`Listing`; of segments into annotations (``class_texts``, ``epic_kitchens``) or labels of frames
(``frame_folders``), see :func:`~kinoscope.data.annotations.read_annotations`.
"""

from .listing import Listing, Row

__all__ = ["Listing", "Row"]
