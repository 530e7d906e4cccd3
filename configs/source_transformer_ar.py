"""The demo's autoregressive source transformer: a class-conditional GPT over the same tokens.

python -m vpt_gen.main --config=configs/source_transformer_ar.py
"""

from vpt_gen.recipes import source_transformer


def get_config():
    config = source_transformer("ar")
    config.num_steps = 8000
    # The tokenizer as it is shipped, so that this twin can be trained by itself.
    config.backbone.tokenizer = "vpt_gen/assets/demo/tokenizer"
    return config
