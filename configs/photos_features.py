r"""Train the photos source's classifier: features for metrics and for the tokenizer's training.

bash launch/fetch.sh photos downloads
python -m vpt_gen.main --config=configs/photos_features.py:sharp \
    --workdir=runs/photos_features_sharp
python -m vpt_gen.main --config=configs/photos_features.py
"""

from vpt_gen.config import default_config
from vpt_gen.errors import UserError
from vpt_gen.recipes.pretraining import use_photos


def get_config(views=""):
    if views not in ("", "sharp"):
        raise UserError(f"{views!r} is not known; it must be 'sharp' or nothing.")
    config = default_config("classifier")
    config.batch_size = 128
    # 12 passes over 54,658 pictures.
    config.num_steps = 5100
    config.eval_every = 850
    config.checkpoint_every = 100
    config.ema = 0.99

    use_photos(config)
    config.data.shift = 0.12

    config.optimizer.learning_rate = 4e-3
    config.optimizer.warmup_steps = 600
    config.optimizer.b2 = 0.99
    config.optimizer.weight_decay = 0.05
    config.optimizer.clip_norm = 1.0
    if not views:
        # Another 4 passes, so that blur, noise and compression do not mislead the features.
        config.start_from = "runs/photos_features_sharp/net"
        config.data.damage = 0.5
        config.num_steps = 1700
        config.optimizer.learning_rate = 1e-3
        config.optimizer.warmup_steps = 100
    return config
