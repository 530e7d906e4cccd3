"""Tune prompts of the published MaskGIT at 512 px to your own folder of images, as released.

python -m vpt_gen.main --config=configs/maskgit512.py --config.data.path=my_images
"""

from vpt_gen.recipes.adaptation import adaptation


def get_config(method="prompts"):
    return adaptation("maskgit512", method)
