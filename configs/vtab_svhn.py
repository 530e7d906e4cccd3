"""Adaptation at 256 px to VTAB's SVHN (house numbers, 10 digits).

  python -m vpt_gen.main --config=configs/vtab_svhn.py
  python -m vpt_gen.main --config=configs/vtab_svhn.py:ar    (AR; without :ar NAR)
  python -m vpt_gen.main --config=configs/vtab_svhn.py:ar,lora    (docs/methods.md)

Mirrored digits are no digits; the release mirrors all the same. --config.data.flip=False is right.

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes import vtab


def get_config(variant=""):
    return vtab("svhn", variant)
