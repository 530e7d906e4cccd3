"""Tune prompts of the published class-conditional ImageNet GPT (256 px) to your own images.

Kept for runs that were started with it. New ones take configs/folder.py:taming256, which also
trains on random crops, and draws samples as its publishers do.

  python -m vpt_gen.main --config=configs/taming256.py --config.data.path=my_images

Needs about 6 GB of weights and as much memory; use a GPU or TPU.
"""

from vpt_gen.recipes.adaptation import adaptation


def get_config(method="prompts"):
    return adaptation("taming256", method)
