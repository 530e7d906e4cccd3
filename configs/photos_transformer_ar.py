"""Pretrain the photos source's AR transformer: a class-conditional GPT on its tokens.

bash launch/fetch.sh photos downloads
python -m vpt_gen.main --config=configs/photos_transformer_ar.py

End it when held-out loss falls no more: stop it, and give the same command again with
--config.num_steps=<the update that it has reached>, which writes its net.
"""

from vpt_gen.recipes.pretraining import photos_transformer


def get_config():
    return photos_transformer("ar")
