"""Train the photos source's tokenizer: a small VQGAN, 64 tokens per image of 32x32 pixels.

bash launch/fetch.sh photos downloads
python -m vpt_gen.main --config=configs/photos_features.py
python -m vpt_gen.main --config=configs/photos_tokenizer.py
"""

from vpt_gen.config import default_config
from vpt_gen.recipes.pretraining import use_photos


def get_config():
    config = default_config("tokenizer")
    config.num_steps = 16000
    config.batch_size = 32
    config.eval_every = 1000
    config.checkpoint_every = 200

    use_photos(config)
    # Augmentation, so that the tokenizer also serves other colors and sizes.
    config.data.min_scale = 0.9
    config.data.max_scale = 1.3
    config.data.shift = 0.1
    config.data.color_jitter = 0.1

    config.model.filters = 32
    config.model.channel_multipliers = (1, 2, 4)
    config.model.num_res_blocks = 1
    config.model.embedding_dim = 16
    config.model.codebook_size = 1024

    # Two stages: autoencoder, then quantizer. A perceptual loss on the classifier's features makes
    # edges sharp, for half the cost of a discriminator.
    config.losses.quantizer_start = 800
    config.losses.reconstruction_weight = 4.0
    config.losses.adversarial_weight = 0.0
    config.losses.perceptual_weights = "runs/photos_features/net"
    config.losses.perceptual_weight = 0.02

    # As for the color tokenizer: with twice the rate it learns shapes but no colors.
    config.optimizer.learning_rate = 5e-4
    config.optimizer.codebook_factor = 10.0
    config.optimizer.warmup_steps = 50
    config.optimizer.b2 = 0.999
    config.optimizer.clip_norm = 1.0
    return config
