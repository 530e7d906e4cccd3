"""Prompt tuning at 256 px to VTAB's DMLab (6 classes of distance and reward).

  python -m vpt_gen.main --config=configs/vtab_dmlab.py
  python -m vpt_gen.main --config=configs/vtab_dmlab.py:ar    (AR; without :ar NAR)

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes import vtab


def get_config(family="nar"):
    return vtab("dmlab", family)
