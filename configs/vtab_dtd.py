"""Adaptation at 256 px to VTAB's DTD (47 textures).

  python -m vpt_gen.main --config=configs/vtab_dtd.py
  python -m vpt_gen.main --config=configs/vtab_dtd.py:ar    (AR; without :ar NAR)
  python -m vpt_gen.main --config=configs/vtab_dtd.py:ar,lora    (docs/methods.md)

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes import vtab


def get_config(variant=""):
    return vtab("dtd", variant)
