"""Train the color source's tokenizer: a small VQGAN on color drawings on white, 64x64.

bash launch/fetch.sh color downloads
python -m vpt_gen.main --config=configs/color_tokenizer.py
"""

from vpt_gen.config import default_config
from vpt_gen.recipes.pretraining import use_color_drawings


def get_config():
    config = default_config("tokenizer")
    config.num_steps = 6000
    config.batch_size = 16
    config.eval_every = 1000
    config.checkpoint_every = 250

    use_color_drawings(config)
    # Strong augmentation, so that the tokenizer also serves other images: close-ups, other colors.
    config.data.rotation = 20.0
    config.data.min_scale = 0.7
    config.data.max_scale = 3.0
    config.data.shift = 0.2
    config.data.color_jitter = 0.2

    config.model.filters = 32
    config.model.channel_multipliers = (1, 2, 4)
    config.model.num_res_blocks = 1
    config.model.embedding_dim = 16
    config.model.codebook_size = 1024

    # Three stages: autoencoder, then quantizer, then discriminator. Without a perceptual distance,
    # the released reconstruction weight is too small compared with the quantizer's losses.
    config.losses.quantizer_start = 800
    config.losses.reconstruction_weight = 4.0
    config.losses.adversarial_start = 2500
    config.losses.discriminator_filters = 64

    # With twice the rate and b2 = 0.99 it learns shapes but no colors.
    config.optimizer.learning_rate = 5e-4
    config.optimizer.codebook_factor = 10.0
    config.optimizer.warmup_steps = 50
    config.optimizer.b2 = 0.999
    config.optimizer.clip_norm = 1.0
    return config
