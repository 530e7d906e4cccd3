"""Tune prompts of the published class-conditional ImageNet GPT (256 px) to your own images.

  python -m vpt_gen.main --config=configs/taming256.py --config.data.path=my_images

Needs about 6 GB of weights and as much memory; use a GPU or TPU.
"""

from vpt_gen.recipes.adaptation import adaptation


def get_config(method="prompts"):
    return adaptation("taming256", method)
