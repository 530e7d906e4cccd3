"""Stamps of Tux Paint, photographs cut out on white: the color source, five images a class.

bash launch/fetch.sh targets downloads
python -m vpt_gen.main --config=configs/fewshot_stamps.py
python -m vpt_gen.main --config=configs/fewshot_stamps.py:ar --config.data.shots=20
"""

from vpt_gen.recipes import color_fewshot


def get_config(variant=""):
    config = color_fewshot("stamps", variant)
    # The others have fewer than 20 besides what is held out; up to 10 a class, all eight will do.
    config.data.classes = ("birds", "flowers", "fruit", "houses", "mammals")
    config.data.holdout = 0.2
    config.data.flip = True
    config.evaluation.num_samples = 200
    config.evaluation.judge_shots = 20
    return config
