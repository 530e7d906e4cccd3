"""The label rules alone: every value that can be stored, every edge, worked out by hand."""

import re

import numpy as np
import pytest

from vpt_gen.data.vtab.labels import (
    binned,
    closest_object,
    closest_vehicle,
    count_objects,
    stored,
)
from vpt_gen.data.vtab.opening import TASKS

CAR, VAN, TRUCK, PEDESTRIAN, DONT_CARE = 0, 1, 2, 3, 7


def below(value):
    """The next float32 toward zero, and `above` the next one away from it."""
    return float(np.nextafter(np.float32(value), np.float32(0)))


def above(value):
    return float(np.nextafter(np.float32(value), np.float32(np.inf)))


@pytest.mark.parametrize(
    ("objects", "label"),
    [
        ([(CAR, -99.0)], 0),
        ([(CAR, 0.0)], 0),
        ([(CAR, 8.0)], 0),
        ([(CAR, above(8.0))], 1),
        ([(VAN, below(20.0))], 1),
        ([(VAN, 20.0)], 1),
        ([(TRUCK, above(20.0))], 2),
        ([(TRUCK, 120.0)], 2),
        ([], 3),
        ([(PEDESTRIAN, 2.0), (DONT_CARE, -1000.0)], 3),
        ([(PEDESTRIAN, 2.0), (CAR, 30.0)], 2),
        ([(CAR, 30.0), (TRUCK, 5.0), (VAN, 15.0)], 0),
    ],
)
def test_closest_vehicle(objects, label):
    example = {
        "objects/type": np.array([kind for kind, _ in objects], np.int64),
        "objects/location": np.array([[7.0, 7.0, z] for _, z in objects], np.float32).reshape(
            -1, 3
        ),
    }
    assert closest_vehicle(example) == label


@pytest.mark.parametrize(
    ("depth", "label"),
    [
        (above(0.0), 0),
        (8.0, 0),
        (above(8.0), 1),
        (8.5, 1),
        (above(8.5), 2),
        (9.0, 2),
        (above(9.0), 3),
        (9.5, 3),
        (above(9.5), 4),
        (10.0, 4),
        (above(10.0), 5),
        (99.0, 5),
    ],
)
@pytest.mark.parametrize("others", [[], [50.0], [60.0, 70.0]])
def test_closest_object(depth, label, others):
    depths = np.array([*others, depth], np.float32)
    # Across and down do not count, be they as small as they may.
    coordinates = np.stack([0 * depths, -depths, depths], axis=1)
    assert closest_object({"objects/pixel_coords": coordinates}) == label


def test_objects_are_counted_from_three_on():
    labels = [count_objects({"objects/size": np.zeros(n, np.int64)}) for n in range(3, 11)]
    assert labels == list(range(8))


def test_positions_lie_two_in_a_bin():
    labels = [binned("label_x_position", 2.0)({"label_x_position": i}) for i in range(32)]
    assert labels == [
        0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7,
        8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15,
    ]  # fmt: skip


def test_angles_lie_three_and_two_in_a_bin():
    labels = [binned("label_orientation", 2.5)({"label_orientation": i}) for i in range(40)]
    assert labels == [
        0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4, 5, 5, 6, 6, 6, 7, 7,
        8, 8, 8, 9, 9, 10, 10, 10, 11, 11, 12, 12, 12, 13, 13, 14, 14, 14, 15, 15,
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["dsprites_x_position", "dsprites_orientation"])
def test_the_names_of_bins_say_what_lies_in_them(name):
    task = TASKS[name]
    named = []
    for label, class_name in enumerate(task.class_names):
        first, last, stored_classes = map(int, re.findall(r"\d+", class_name))
        named += [(value, label) for value in range(first, last + 1)]
    assert [value for value, _ in named] == list(range(stored_classes))
    assert all(task.rule({task.features[0]: value}) == label for value, label in named)


def test_stored_labels_stay():
    assert [stored("label")({"label": np.int64(i), "other": 9}) for i in range(5)] == list(range(5))


def test_fine_classes_of_cifar_are_in_the_order_of_its_labels():
    # The labels follow the alphabet (the names' file in the data set's own archive).
    names = TASKS["cifar100"].class_names
    assert list(names) == sorted(names)
    assert (names[0], names[90], names[99]) == ("apple", "train", "worm")
