"""Small prepared copies of VTAB's TFDS data sets, in the builders' own formats.

Example i of a split shows in its image which one it is, since TFDS shuffles records.
"""

import numpy as np
import tensorflow_datasets as tfds

from vpt_gen.data.vtab.opening import TASKS

SIZE = 20

# Type and depth of KITTI's objects, and the label: every edge of the buckets.
KITTI = [
    ([(0, -3.0)], 0),
    ([(0, 8.0)], 0),
    ([(0, 30.0), (1, 8.01)], 1),
    ([(2, 20.0)], 1),
    ([(0, 20.01), (3, 2.0)], 2),
    ([(5, 2.0)], 3),
    ([], 3),
]
# Depth of CLEVR's nearest object, and the label.
CLEVR = [
    (7.5, 0),
    (8.0, 0),
    (8.01, 1),
    (8.5, 1),
    (8.51, 2),
    (9.0, 2),
    (9.5, 3),
    (10.0, 4),
    (10.01, 5),
]


def expected_label(task, i):
    """The label of example i, by hand."""
    if task.id == "kitti_closest_vehicle_distance":
        return KITTI[i % len(KITTI)][1]
    if task.id == "clevr_closest_object_distance":
        return CLEVR[i % len(CLEVR)][1]
    if task.id == "clevr_count_all":
        return i % 8
    if task.id == "dsprites_x_position":
        return i // 2
    if task.id == "dsprites_orientation":
        return [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4, 5, 5, 6, 6, 6, 7, 7][i]
    return i % task.num_classes


def shown_index(task, image):
    """Which example an image is."""
    if task.builder == "dsprites":
        return int((image[..., 0] == 255).sum())
    return round(float(image.mean()) / 10)


def _kitti_objects(i):
    return [
        {
            "type": kind,
            "truncated": 0.0,
            "occluded": 0,
            "alpha": 0.0,
            "bbox": tfds.features.BBox(0.0, 0.0, 1.0, 1.0),
            "dimensions": np.zeros(3, np.float32),
            "location": np.array([0.0, 0.0, depth], np.float32),
            "rotation_y": 0.0,
        }
        for kind, depth in KITTI[i % len(KITTI)][0]
    ]


def _clevr_objects(i, split):
    depths = [CLEVR[i % len(CLEVR)][0]] + [50.0] * (i % 8 + 2)
    return [
        {
            "color": "gray",
            "material": "rubber",
            "shape": "cube",
            "size": "small",
            "rotation": 0.0,
            "3d_coords": np.zeros(3, np.float32),
            "pixel_coords": np.array([1.0, 1.0, depth], np.float32),
        }
        for depth in (depths if split != "test" else [])
    ]


def _image(builder_name, feature, i):
    height, width, channels = (side or 12 for side in feature.shape)
    if builder_name == "dsprites":
        image = np.zeros((height * width, channels), np.uint8)
        image[:i] = 1
        return image.reshape(height, width, channels)
    return np.full((height, width, channels), 10 * i, np.uint8)


def _example(builder, split, i):
    example = {}
    for key, feature in builder.info.features.items():
        if isinstance(feature, tfds.features.Image):
            example[key] = _image(builder.name, feature, i)
        elif isinstance(feature, tfds.features.ClassLabel):
            example[key] = i % feature.num_classes
        elif isinstance(feature, tfds.features.BBoxFeature):
            example[key] = tfds.features.BBox(0.0, 0.0, 1.0, 1.0)
        elif isinstance(feature, tfds.features.Text):
            example[key] = f"{split} {i}"
        elif key == "objects":
            example[key] = (
                _kitti_objects(i) if builder.name == "kitti" else _clevr_objects(i, split)
            )
        elif key == "question_answer":
            example[key] = [{"question": "Is it?", "answer": "yes"}]
        else:
            example[key] = 0
    return example


def write(folder):
    """Prepares every builder of the 19 tasks, each of its splits with SIZE examples."""
    for name, version in sorted({(task.builder, task.version) for task in TASKS.values()}):
        builder = tfds.builder(f"{name}:{version}", data_dir=str(folder))
        sizes = next(task.sizes for task in TASKS.values() if task.builder == name)
        tfds.dataset_builders.store_as_tfds_dataset(
            name=builder.name,
            version=version,
            config=builder.builder_config,
            features=builder.info.features,
            split_datasets={
                split: [(i, _example(builder, split, i)) for i in range(SIZE)] for split in sizes
            },
            data_dir=str(folder),
        )
    return folder
