"""Annotations, features and made videos: what every layer reads and writes."""
