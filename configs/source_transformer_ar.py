"""Pretrain the demo's autoregressive transformer: a class-conditional GPT on the same tokens.

python -m vpt_gen.main --config=configs/source_transformer_ar.py
"""

from vpt_gen.recipes.pretraining import source_transformer


def get_config():
    config = source_transformer("ar")
    config.num_steps = 8000
    # For guidance: it also learns what drawings look like without their class.
    config.model.class_dropout = 0.1
    # The shipped tokenizer, so that this model can be trained without training a tokenizer first.
    config.backbone.tokenizer = "vpt_gen/assets/demo/tokenizer"
    return config
