"""Adapt a published model at 256 px to VTAB's Oxford Flowers (102 kinds).

  python -m vpt_gen.main --config=configs/vtab_flowers.py
  python -m vpt_gen.main --config=configs/vtab_flowers.py:ar
  python -m vpt_gen.main --config=configs/vtab_flowers.py:ar,lora

`:ar` selects the AR model instead of the NAR one, `lora` another method (docs/methods.md).

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes.adaptation import vtab


def get_config(variant=""):
    return vtab("oxford_flowers102", variant)
