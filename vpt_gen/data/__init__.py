"""Where examples come from, how they become batches, and the visual-token cache."""
