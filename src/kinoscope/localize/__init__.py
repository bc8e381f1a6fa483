"""Features over time → labelled segments: the ActionFormer head, its training, and localisation without training."""
