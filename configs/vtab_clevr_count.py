"""Prompt tuning at 256 px to VTAB's CLEVR by the number of objects (8 classes).

  python -m vpt_gen.main --config=configs/vtab_clevr_count.py
  python -m vpt_gen.main --config=configs/vtab_clevr_count.py:ar    (AR; without :ar NAR)

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes import vtab


def get_config(family="nar"):
    return vtab("clevr_count_all", family)
