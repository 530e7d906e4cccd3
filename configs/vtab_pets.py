"""Prompt tuning at 256 px to VTAB's Oxford Pets (37 breeds).

  python -m vpt_gen.main --config=configs/vtab_pets.py
  python -m vpt_gen.main --config=configs/vtab_pets.py:ar    (AR; without :ar NAR)

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes import vtab


def get_config(family="nar"):
    return vtab("oxford_iiit_pet", family)
