"""Adaptation at 256 px to VTAB's smallNORB by the elevation (9 classes).

  python -m vpt_gen.main --config=configs/vtab_smallnorb_elevation.py
  python -m vpt_gen.main --config=configs/vtab_smallnorb_elevation.py:ar    (AR; without :ar NAR)
  python -m vpt_gen.main --config=configs/vtab_smallnorb_elevation.py:ar,lora    (docs/methods.md)

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes import vtab


def get_config(variant=""):
    return vtab("smallnorb_elevation", variant)
