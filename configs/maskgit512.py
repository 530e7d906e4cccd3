"""Tune prompts of the published MaskGIT at 512 px to your own folder of images, each as it is.

Kept for runs that were started with it. New ones take configs/folder.py:maskgit512, which also
trains on random crops.

python -m vpt_gen.main --config=configs/maskgit512.py --config.data.path=my_images
"""

from vpt_gen.recipes.adaptation import adaptation


def get_config(method="prompts"):
    return adaptation("maskgit512", method)
