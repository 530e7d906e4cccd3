"""Train the photos source's tokenizer: a small VQ-VAE, 64 tokens per image of 32x32 pixels.

bash launch/fetch.sh photos downloads
python -m vpt_gen.main --config=configs/photos_tokenizer.py
"""

from vpt_gen.recipes.pretraining import photos_tokenizer


def get_config():
    config = photos_tokenizer()
    config.num_steps = 16000
    # Two stages: autoencoder, then quantizer.
    config.losses.quantizer_start = 100
    config.losses.perceptual_weights = ""
    config.optimizer.codebook_factor = 10.0
    return config
