"""Pretrain the photos source's autoregressive transformer: a class-conditional GPT on its tokens.

python -m vpt_gen.main --config=configs/photos_transformer_ar.py
"""

from vpt_gen.recipes.pretraining import photos_transformer


def get_config():
    config = photos_transformer("ar")
    config.num_steps = 200000
    return config
