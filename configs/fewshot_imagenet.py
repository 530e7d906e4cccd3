"""Tune prompts to five classes of ImageNet, given by their WordNet ids.

python -m vpt_gen.main --config=configs/fewshot_imagenet.py
"""

from vpt_gen.recipes.adaptation import fewshot


def get_config(variant=""):
    config = fewshot(variant)
    config.data.kind = "tfds"
    config.data.name = "imagenet2012:5.1.0"
    config.data.eval_split = "validation"
    # The code of MineGAN and cGANTransfer does not name their five classes. These are our choice:
    # brown bear, pug, goose, acoustic guitar, espresso.
    config.data.classes = ("n02132136", "n02110958", "n01855672", "n02676566", "n07920052")
    config.data.shots = 100
    return config
