r"""Pretrain the photos source's AR transformer: a class-conditional GPT on its tokens.

bash launch/fetch.sh photos downloads
python -m vpt_gen.main --config=configs/photos_transformer_ar.py:constant \
    --workdir=runs/photos_transformer_ar_constant
python -m vpt_gen.main --config=configs/photos_transformer_ar.py

End the first run when held-out loss falls no more: stop it, and give its command again with
--config.num_steps=<the update that it has reached>.
"""

from vpt_gen.recipes.pretraining import photos_transformer


def get_config(stage=""):
    return photos_transformer("ar", stage)
