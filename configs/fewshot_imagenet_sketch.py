"""Tune prompts to ImageNet-Sketch, five drawings per class: outside the source's domain.

python -m vpt_gen.main --config=configs/fewshot_imagenet_sketch.py
"""

from vpt_gen.recipes.adaptation import fewshot


def get_config(variant=""):
    config = fewshot(variant)
    config.data.kind = "tfds"
    config.data.name = "imagenet_sketch:1.0.0"
    # The data set's only split.
    config.data.train_split = "test"
    config.data.holdout = 0.2
    config.data.shots = 5
    return config
