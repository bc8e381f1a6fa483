"""Late temporal modelling (ECCV workshops 2020): recognition of clips that knows the order of things.

Reads like the paper: ``head`` (section 3), ``rivals`` (what it is compared with), ``heads`` (all by name), ``network``
(a whole recogniser), then training: ``tokens`` of frozen encoders, ``task``, ``train``; and use: ``recognizer``.
"""
