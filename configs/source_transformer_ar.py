"""The demo's autoregressive source transformer: a class-conditional GPT over the same tokens.

python -m vpt_gen.main --config=configs/source_transformer_ar.py
"""

from vpt_gen.config import default_config


def get_config():
    config = default_config("transformer", "ar")
    config.num_steps = 8000
    config.batch_size = 32
    config.eval_every = 2000
    config.checkpoint_every = 500

    # As configs/source_transformer.py, whose tokens serve here too.
    config.data.kind = "npz"
    config.data.path = "downloads/source_grey.npz"
    config.data.holdout = 0.03
    config.data.image_size = 32
    config.data.flip = True
    config.data.rotation = 180.0
    config.data.min_scale = 0.6
    config.data.max_scale = 1.6
    config.data.shift = 0.1
    config.data.cache_views = 12
    config.data.cache_dir = "runs/source_transformer/tokens"

    config.backbone.tokenizer = "runs/source_tokenizer/net"
    config.model.num_layers = 6
    config.model.hidden_size = 128
    config.model.num_heads = 4
    config.model.intermediate_size = 512
    config.model.dropout_rate = 0.0

    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_steps = 400
    config.optimizer.weight_decay = 0.01
    config.optimizer.clip_norm = 1.0
    return config
