"""Adapt a published model at 256 px to VTAB's KITTI: distance of the nearest vehicle (4 classes).

  python -m vpt_gen.main --config=configs/vtab_kitti.py
  python -m vpt_gen.main --config=configs/vtab_kitti.py:ar
  python -m vpt_gen.main --config=configs/vtab_kitti.py:ar,lora

`:ar` selects the AR model instead of the NAR one, `lora` another method (docs/methods.md).

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes.adaptation import vtab


def get_config(variant=""):
    return vtab("kitti_closest_vehicle_distance", variant)
