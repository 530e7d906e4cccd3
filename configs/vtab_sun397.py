"""Adaptation at 256 px to VTAB's SUN397 (397 kinds of scenes).

  python -m vpt_gen.main --config=configs/vtab_sun397.py
  python -m vpt_gen.main --config=configs/vtab_sun397.py:ar    (AR; without :ar NAR)
  python -m vpt_gen.main --config=configs/vtab_sun397.py:ar,lora    (docs/methods.md)

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes import vtab


def get_config(variant=""):
    return vtab("sun397", variant)
