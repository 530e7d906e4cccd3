"""Adaptation at 256 px to VTAB's Oxford Pets (37 breeds).

  python -m vpt_gen.main --config=configs/vtab_pets.py
  python -m vpt_gen.main --config=configs/vtab_pets.py:ar    (AR; without :ar NAR)
  python -m vpt_gen.main --config=configs/vtab_pets.py:ar,lora    (docs/methods.md)

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes import vtab


def get_config(variant=""):
    return vtab("oxford_iiit_pet", variant)
