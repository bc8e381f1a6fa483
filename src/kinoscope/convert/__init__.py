"""Reading other people's checkpoints into our modules."""
