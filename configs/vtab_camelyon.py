"""Adaptation at 256 px to VTAB's Patch Camelyon (lymph nodes, with and without tumour).

  python -m vpt_gen.main --config=configs/vtab_camelyon.py
  python -m vpt_gen.main --config=configs/vtab_camelyon.py:ar    (AR; without :ar NAR)
  python -m vpt_gen.main --config=configs/vtab_camelyon.py:ar,lora    (docs/methods.md)

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes import vtab


def get_config(variant=""):
    return vtab("patch_camelyon", variant)
