"""Tune prompts of the photos source to Fashion-MNIST (gray, on black), five images per class.

bash launch/fetch.sh targets downloads
python -m vpt_gen.main --config=configs/fewshot_fashion.py
python -m vpt_gen.main --config=configs/fewshot_fashion.py:nar --config.data.shots=20
"""

from vpt_gen.recipes.adaptation import packaged_fewshot


def get_config(variant=""):
    config = packaged_fewshot("fashion", variant)
    config.data.holdout = 0.5
    config.evaluation.num_samples = 200
    config.evaluation.judge_shots = 100
    return config
