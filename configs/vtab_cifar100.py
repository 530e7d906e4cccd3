"""Adapt a published model at 256 px to VTAB's CIFAR-100 (100 classes, 32x32).

  python -m vpt_gen.main --config=configs/vtab_cifar100.py
  python -m vpt_gen.main --config=configs/vtab_cifar100.py:ar
  python -m vpt_gen.main --config=configs/vtab_cifar100.py:ar,lora

`:ar` selects the AR model instead of the NAR one, `lora` another method (docs/methods.md).

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes.adaptation import vtab


def get_config(variant=""):
    return vtab("cifar100", variant)
