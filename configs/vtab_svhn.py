"""Adapt a published model at 256 px to VTAB's SVHN (house numbers, 10 digits).

  python -m vpt_gen.main --config=configs/vtab_svhn.py
  python -m vpt_gen.main --config=configs/vtab_svhn.py:ar
  python -m vpt_gen.main --config=configs/vtab_svhn.py:ar,lora

`:ar` selects the AR model instead of the NAR one, `lora` another method (docs/methods.md).

The release mirrors these digits too. Set --config.data.flip=False to avoid impossible digits.

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes.adaptation import vtab


def get_config(variant=""):
    return vtab("svhn", variant)
