"""Adaptation at 256 px to VTAB's Caltech101 (102 classes of objects).

  python -m vpt_gen.main --config=configs/vtab_caltech.py
  python -m vpt_gen.main --config=configs/vtab_caltech.py:ar    (AR; without :ar NAR)
  python -m vpt_gen.main --config=configs/vtab_caltech.py:ar,lora    (docs/methods.md)

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes import vtab


def get_config(variant=""):
    return vtab("caltech101", variant)
