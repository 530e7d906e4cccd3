"""Adapt a published model at 256 px to VTAB's smallNORB: azimuth (18 classes).

  python -m vpt_gen.main --config=configs/vtab_smallnorb_azimuth.py
  python -m vpt_gen.main --config=configs/vtab_smallnorb_azimuth.py:ar
  python -m vpt_gen.main --config=configs/vtab_smallnorb_azimuth.py:ar,lora

`:ar` selects the AR model instead of the NAR one, `lora` another method (docs/methods.md).

Mirroring changes this label, but the release mirrors. Set --config.data.flip=False for the right
labels.

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes.adaptation import vtab


def get_config(variant=""):
    return vtab("smallnorb_azimuth", variant)
