"""Adapt a published model at 256 px to VTAB's CLEVR: depth of the nearest object (6 classes).

  python -m vpt_gen.main --config=configs/vtab_clevr_distance.py
  python -m vpt_gen.main --config=configs/vtab_clevr_distance.py:ar
  python -m vpt_gen.main --config=configs/vtab_clevr_distance.py:ar,lora

`:ar` selects the AR model instead of the NAR one, `lora` another method (docs/methods.md).

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes.adaptation import vtab


def get_config(variant=""):
    return vtab("clevr_closest_object_distance", variant)
