"""Measurements of speed, memory and accuracy: ``python -m benchmarks.NAME [--write]``; see ``docs/results.md``."""
