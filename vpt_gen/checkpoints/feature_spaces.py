"""The names of all feature spaces, which `evaluation/spaces.py` opens."""

FEATURE_SPACES = ("inception", "dinov2", "clip", "photos", "tokenizer")
