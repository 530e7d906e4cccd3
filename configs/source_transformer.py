"""The demo's source transformer: class-conditional MaskGIT over the source tokenizer's tokens.

python -m vpt_gen.main --config=configs/source_transformer.py
"""

from vpt_gen.recipes import source_transformer


def get_config():
    config = source_transformer("nar")
    config.num_steps = 16000
    return config
