"""Tune prompts of the photos source to Tux Paint's stamps, photographs on white, five per class.

bash launch/fetch.sh targets downloads
python -m vpt_gen.main --config=configs/fewshot_stamps.py
python -m vpt_gen.main --config=configs/fewshot_stamps.py:nar --config.data.shots=20
"""

from vpt_gen.recipes.adaptation import packaged_fewshot


def get_config(variant=""):
    config = packaged_fewshot("stamps", variant)
    # The other three classes have fewer than 20 training images. Use all eight for up to 10 shots.
    config.data.classes = ("birds", "flowers", "fruit", "houses", "mammals")
    config.data.holdout = 0.2
    config.data.flip = True
    config.evaluation.num_samples = 200
    config.evaluation.judge_shots = 20
    return config
