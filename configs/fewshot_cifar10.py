"""Tune prompts of the color source to CIFAR-10, five images per class: far from its domain.

bash launch/fetch.sh targets downloads
python -m vpt_gen.main --config=configs/fewshot_cifar10.py
python -m vpt_gen.main --config=configs/fewshot_cifar10.py:ar --config.data.shots=20
"""

from vpt_gen.recipes.adaptation import color_fewshot


def get_config(variant=""):
    config = color_fewshot("cifar10", variant)
    config.data.holdout = 0.5
    config.data.flip = True
    config.evaluation.num_samples = 200
    config.evaluation.judge_shots = 100
    return config
