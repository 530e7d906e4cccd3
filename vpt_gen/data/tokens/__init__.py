"""The token cache: images tokenized once, before training."""
