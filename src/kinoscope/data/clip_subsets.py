"""What people call the parts of labelled clips."""

from __future__ import annotations

TRAINING = frozenset({"train", "training"})
VALIDATION = frozenset({"validation", "val", "valid", "validate"})
TEST = frozenset({"test", "testing"})
SUBSETS = TRAINING | VALIDATION | TEST
