"""Sources of examples, their batches, and the visual-token cache."""
