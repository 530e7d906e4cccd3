"""Tune prompts to five classes of Places365, 500 images each, as in cGANTransfer (2102.06696).

python -m vpt_gen.main --config=configs/fewshot_places365.py
"""

from vpt_gen.recipes.adaptation import fewshot


def get_config(variant=""):
    config = fewshot(variant)
    config.data.kind = "tfds"
    config.data.name = "places365_small:2.1.0"
    config.data.eval_split = "validation"
    config.data.classes = ("alley", "arch", "art_gallery", "auditorium", "ballroom")
    # The list of images is not published; shots_seed draws ours.
    config.data.shots = 500
    return config
