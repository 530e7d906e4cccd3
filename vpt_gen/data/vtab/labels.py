"""The label rules of VTAB's tasks: a record's features (numpy) -> label in [0, C).

Source of the thresholds: google-research/task_adaptation, data/*.py.
"""

from collections.abc import Callable, Mapping

import numpy as np

Rule = Callable[[Mapping], int]

# Metres; without a vehicle the distance counts as 1000.
_VEHICLE_DISTANCES = (-100.0, 8.0, 20.0, 999.0)
_NO_VEHICLE = 1000.0
# Types of KITTI's objects: Car, Van and Truck come first.
_NUM_VEHICLE_TYPES = 3
# CLEVR's depth from the camera.
_OBJECT_DISTANCES = (0.0, 8.0, 8.5, 9.0, 9.5, 10.0, 100.0)
# A CLEVR scene holds 3 to 10 objects.
_FEWEST_OBJECTS = 3


def stored(key: str) -> Rule:
    """Reads the stored label `key`."""
    return lambda example: int(example[key])


def binned(key: str, width: float) -> Rule:
    """Bins stored labels by `width`: floor(label / width)."""
    return lambda example: int(np.floor(example[key] / width))


def closest_vehicle(example: Mapping) -> int:
    """KITTI: returns the range of the nearest car, van or truck."""
    is_vehicle = example["objects/type"] < _NUM_VEHICLE_TYPES
    depths = example["objects/location"][is_vehicle, 2]
    return _bucket(_VEHICLE_DISTANCES, depths.min(initial=_NO_VEHICLE))


def closest_object(example: Mapping) -> int:
    """CLEVR: returns the range of the nearest object; -1 if a record has no objects."""
    depths = example["objects/pixel_coords"][:, 2]
    return _bucket(_OBJECT_DISTANCES, depths.min()) if len(depths) else -1


def count_objects(example: Mapping) -> int:
    """CLEVR: returns the number of objects, minus 3."""
    return len(example["objects/size"]) - _FEWEST_OBJECTS


def _bucket(thresholds: tuple[float, ...], value: float) -> int:
    """Returns the index of the last threshold below the value; a value on one belongs below it."""
    return int(np.searchsorted(thresholds, value, side="left")) - 1
