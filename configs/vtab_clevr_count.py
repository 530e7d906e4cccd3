"""Adapt a published model at 256 px to VTAB's CLEVR: number of objects (8 classes).

  python -m vpt_gen.main --config=configs/vtab_clevr_count.py
  python -m vpt_gen.main --config=configs/vtab_clevr_count.py:ar
  python -m vpt_gen.main --config=configs/vtab_clevr_count.py:ar,lora

`:ar` selects the AR model instead of the NAR one, `lora` another method (docs/methods.md).

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes.adaptation import vtab


def get_config(variant=""):
    return vtab("clevr_count_all", variant)
