"""Prompt tuning at 256 px to VTAB's dSprites by the orientation (16 classes).

  python -m vpt_gen.main --config=configs/vtab_dsprites_orientation.py
  python -m vpt_gen.main --config=configs/vtab_dsprites_orientation.py:ar    (AR; without :ar NAR)

Mirroring changes this label; the release mirrors all the same. --config.data.flip=False is right.

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes import vtab


def get_config(family="nar"):
    return vtab("dsprites_orientation", family)
