r"""Pretrain the photos source's masked transformer: a class-conditional MaskGIT on its tokens.

bash launch/fetch.sh photos downloads
python -m vpt_gen.main --config=configs/photos_transformer.py:constant \
    --workdir=runs/photos_transformer_constant
python -m vpt_gen.main --config=configs/photos_transformer.py

End the first run when held-out loss falls no more: stop it, and give its command again with
--config.num_steps=<the update that it has reached>.
"""

from vpt_gen.recipes.pretraining import photos_transformer


def get_config(stage=""):
    return photos_transformer("nar", stage)
