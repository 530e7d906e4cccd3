"""Adaptation at 256 px to VTAB's CLEVR by the number of objects (8 classes).

  python -m vpt_gen.main --config=configs/vtab_clevr_count.py
  python -m vpt_gen.main --config=configs/vtab_clevr_count.py:ar    (AR; without :ar NAR)
  python -m vpt_gen.main --config=configs/vtab_clevr_count.py:ar,lora    (docs/methods.md)

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes import vtab


def get_config(variant=""):
    return vtab("clevr_count_all", variant)
