"""Adaptation at 256 px to VTAB's CIFAR-100 (100 classes, 32x32).

  python -m vpt_gen.main --config=configs/vtab_cifar100.py
  python -m vpt_gen.main --config=configs/vtab_cifar100.py:ar    (AR; without :ar NAR)
  python -m vpt_gen.main --config=configs/vtab_cifar100.py:ar,lora    (docs/methods.md)

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes import vtab


def get_config(variant=""):
    return vtab("cifar100", variant)
