"""Pretrain the color source's autoregressive transformer: a class-conditional GPT on its tokens.

python -m vpt_gen.main --config=configs/color_transformer_ar.py
"""

from vpt_gen.recipes.pretraining import color_transformer


def get_config():
    config = color_transformer("ar")
    config.num_steps = 8000
    return config
