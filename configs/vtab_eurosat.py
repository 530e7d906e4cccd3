"""Prompt tuning at 256 px to VTAB's EuroSAT (10 kinds of land use).

  python -m vpt_gen.main --config=configs/vtab_eurosat.py
  python -m vpt_gen.main --config=configs/vtab_eurosat.py:ar    (AR; without :ar NAR)

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes import vtab


def get_config(family="nar"):
    return vtab("eurosat", family)
