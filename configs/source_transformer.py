"""Pretrain the demo's masked transformer: a class-conditional MaskGIT on the source's tokens.

python -m vpt_gen.main --config=configs/source_transformer.py
"""

from vpt_gen.recipes.pretraining import source_transformer


def get_config():
    config = source_transformer("nar")
    config.num_steps = 16000
    return config
