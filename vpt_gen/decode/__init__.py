"""Decoding algorithms: pure functions of (logits function, arrays, key)."""
