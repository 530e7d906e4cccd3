"""Pretrain the demo's source BigGAN: class-conditional, on gray drawings at 32x32.

bash launch/fetch.sh grey downloads
python -m vpt_gen.main --config=configs/source_gan.py
"""

from vpt_gen.config import default_config
from vpt_gen.recipes.pretraining import use_grey_drawings


def get_config():
    config = default_config("gan")
    config.num_steps = 3000
    config.batch_size = 32
    config.eval_every = 500
    config.checkpoint_every = 250

    use_grey_drawings(config)

    config.model.generator_channels = 8
    config.model.discriminator_channels = 8
    config.model.z_size = 64
    config.model.shared_size = 32
    config.model.generator_attention = (16,)
    config.model.discriminator_attention = ()

    config.average.decay = 0.998
    config.average.start = 200

    config.optimizer.learning_rate = 3e-4
    config.optimizer.discriminator_factor = 2.0
    return config
