"""Tune prompts to LHI-Animal-Faces, as in cGANTransfer: class folders; not AFHQ.

python -m vpt_gen.main --config=configs/fewshot_animal_face.py --config.data.path=animal_faces
"""

from vpt_gen.recipes.adaptation import fewshot


def get_config(variant=""):
    config = fewshot(variant)
    config.data.kind = "folder"
    # cGANTransfer leaves out a class of natural scenes: remove its folder, or name the others.
    config.data.classes = ()
    return config
