"""Train the demo's source tokenizer: a small VQGAN on gray drawings at 32x32.

bash launch/fetch.sh grey downloads
python -m vpt_gen.main --config=configs/source_tokenizer.py
"""

from vpt_gen.config import default_config
from vpt_gen.recipes.pretraining import use_grey_drawings


def get_config():
    config = default_config("tokenizer")
    config.num_steps = 2500
    config.batch_size = 32
    config.eval_every = 500
    config.checkpoint_every = 250

    use_grey_drawings(config)

    config.model.filters = 32
    config.model.channel_multipliers = (1, 1, 2)
    config.model.num_res_blocks = 1
    config.model.embedding_dim = 32
    config.model.codebook_size = 256

    # At 4x4 pixels per token, the squared error alone gives sharp strokes.
    config.losses.adversarial_weight = 0.0

    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_steps = 100
    config.optimizer.b2 = 0.99
    config.optimizer.clip_norm = 1.0
    return config
