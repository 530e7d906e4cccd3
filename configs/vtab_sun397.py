"""Adapt a published model at 256 px to VTAB's SUN397 (397 kinds of scenes).

  python -m vpt_gen.main --config=configs/vtab_sun397.py
  python -m vpt_gen.main --config=configs/vtab_sun397.py:ar
  python -m vpt_gen.main --config=configs/vtab_sun397.py:ar,lora

`:ar` selects the AR model instead of the NAR one, `lora` another method (docs/methods.md).

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes.adaptation import vtab


def get_config(variant=""):
    return vtab("sun397", variant)
