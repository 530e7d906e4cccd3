"""Adaptation at 256 px to VTAB's dSprites by the x position (16 classes).

  python -m vpt_gen.main --config=configs/vtab_dsprites_location.py
  python -m vpt_gen.main --config=configs/vtab_dsprites_location.py:ar    (AR; without :ar NAR)
  python -m vpt_gen.main --config=configs/vtab_dsprites_location.py:ar,lora    (docs/methods.md)

Mirroring changes this label; the release mirrors all the same. --config.data.flip=False is right.

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes import vtab


def get_config(variant=""):
    return vtab("dsprites_x_position", variant)
