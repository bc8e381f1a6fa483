"""Public data sets as they are unpacked, and users' own: each file here reads one layout into a :class:`Listing`."""

from .listing import Listing, Row

__all__ = ["Listing", "Row"]
