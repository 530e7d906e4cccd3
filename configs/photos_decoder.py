"""Train the decoder of the photos source's tokenizer on, for crisper edges; its tokens stay.

bash launch/fetch.sh photos downloads
python -m vpt_gen.main --config=configs/photos_tokenizer.py
python -m vpt_gen.main --config=configs/photos_decoder.py
"""

from vpt_gen.checkpoints.shipped import PHOTOS
from vpt_gen.recipes.pretraining import photos_tokenizer


def get_config():
    config = photos_tokenizer()
    config.num_steps = 4000
    config.losses.keep_tokens = "runs/photos_tokenizer/net"
    config.losses.perceptual_weights = f"{PHOTOS}/features"
    config.losses.perceptual_weight = 1.0
    return config
