"""Pretrain the color source's masked transformer: a class-conditional MaskGIT on its tokens.

python -m vpt_gen.main --config=configs/color_transformer.py
"""

from vpt_gen.recipes.pretraining import color_transformer


def get_config():
    config = color_transformer("nar")
    config.num_steps = 8000
    return config
