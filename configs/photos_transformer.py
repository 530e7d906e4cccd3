"""Pretrain the photos source's masked transformer: a class-conditional MaskGIT on its 64 tokens.

python -m vpt_gen.main --config=configs/photos_transformer.py
"""

from vpt_gen.recipes.pretraining import photos_transformer


def get_config():
    config = photos_transformer("nar")
    config.num_steps = 200000
    return config
