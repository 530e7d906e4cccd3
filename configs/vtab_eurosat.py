"""Adapt a published model at 256 px to VTAB's EuroSAT (10 kinds of land use).

  python -m vpt_gen.main --config=configs/vtab_eurosat.py
  python -m vpt_gen.main --config=configs/vtab_eurosat.py:ar
  python -m vpt_gen.main --config=configs/vtab_eurosat.py:ar,lora

`:ar` selects the AR model instead of the NAR one, `lora` another method (docs/methods.md).

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes.adaptation import vtab


def get_config(variant=""):
    return vtab("eurosat", variant)
