"""Adaptation at 256 px to VTAB's CLEVR by the depth of the closest object (6 classes).

  python -m vpt_gen.main --config=configs/vtab_clevr_distance.py
  python -m vpt_gen.main --config=configs/vtab_clevr_distance.py:ar    (AR; without :ar NAR)
  python -m vpt_gen.main --config=configs/vtab_clevr_distance.py:ar,lora    (docs/methods.md)

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes import vtab


def get_config(variant=""):
    return vtab("clevr_closest_object_distance", variant)
