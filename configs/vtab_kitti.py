"""Adaptation at 256 px to VTAB's KITTI by the distance of the closest vehicle (4 classes).

  python -m vpt_gen.main --config=configs/vtab_kitti.py
  python -m vpt_gen.main --config=configs/vtab_kitti.py:ar    (AR; without :ar NAR)
  python -m vpt_gen.main --config=configs/vtab_kitti.py:ar,lora    (docs/methods.md)

Data and weights: docs/vtab.md.
"""

from vpt_gen.recipes import vtab


def get_config(variant=""):
    return vtab("kitti_closest_vehicle_distance", variant)
