"""Train the photos source's tokenizer: a small VQ-VAE, 64 tokens per image of 32x32 pixels.

bash launch/fetch.sh photos downloads
python -m vpt_gen.main --config=configs/photos_tokenizer.py
"""

from vpt_gen.config import default_config
from vpt_gen.recipes.pretraining import use_photos


def get_config():
    config = default_config("tokenizer", net="vqvae")
    config.num_steps = 16000
    config.batch_size = 32
    config.eval_every = 1000
    config.checkpoint_every = 200

    use_photos(config)
    # So that the tokenizer also serves other colors.
    config.data.color_jitter = 0.1

    config.model.widths = (64, 160)
    config.model.num_res_blocks = 2
    config.model.embedding_dim = 16
    config.model.codebook_size = 1024

    # Two stages: autoencoder, then quantizer.
    config.losses.quantizer_start = 100
    # One over the variance of pixels, as in VQ-VAE: beside the quantizer's terms a plain squared
    # error says too little.
    config.losses.reconstruction_weight = 16.0
    config.losses.adversarial_weight = 0.0
    config.losses.perceptual_weights = ""

    config.optimizer.learning_rate = 5e-4
    config.optimizer.codebook_factor = 10.0
    config.optimizer.warmup_steps = 50
    config.optimizer.b2 = 0.999
    config.optimizer.clip_norm = 1.0
    return config
