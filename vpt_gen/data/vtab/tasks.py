"""Facts about the 19 tasks of VTAB.

Sources: google-research/task_adaptation for splits and labels (with versions that TFDS still has),
and the metadata published by TFDS for the sizes.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from vpt_gen.data.vtab.labels import (
    Rule,
    binned,
    closest_object,
    closest_vehicle,
    count_objects,
    stored,
)
from vpt_gen.data.vtab.splits import (
    all_from_train,
    cut_from_train,
    own_splits,
    splits,
)
from vpt_gen.machine import later

with later.imports(globals()):
    import tensorflow_datasets as tfds


@dataclasses.dataclass(frozen=True)
class Task:
    """Facts about a task.

    Attributes:
      id: VTAB's name.
      short: name in the file names of configs.
      group: 'natural', 'specialized' or 'structured'.
      builder: TFDS builder, with its config.
      version: of the builder.
      sizes: the builder's splits and their published numbers of examples.
      splits: VTAB's split names -> TFDS split expressions. 'all' is trainval and test together.
      num_classes: C.
      native_size: of the images, pixels, for people.
      features: keys of the features that the label rule reads.
      rule: features -> label.
      class_names: (C,), or () if TFDS has the names.
      flip: effect of mirroring left-right: 'safe', 'odd' (impossible pictures with the right label)
        or 'label' (wrong labels).
      image_key: feature that is the image.
      pixel_scale: factor of the stored pixels.
    """

    id: str
    short: str
    group: str
    builder: str
    version: str
    sizes: Mapping[str, int]
    splits: Mapping[str, str]
    num_classes: int
    native_size: str
    features: tuple[str, ...] = ("label",)
    rule: Rule = stored("label")
    class_names: tuple[str, ...] = ()
    flip: str = "safe"
    image_key: str = "image"
    pixel_scale: int = 1

    def count(self, split: str) -> int:
        """Returns the published number of examples in one of VTAB's splits."""
        return self.published_splits[self.splits[split]].num_examples

    @functools.cached_property
    def published_splits(self) -> tfds.core.SplitDict:
        """The builder's splits as published; knows TFDS split expressions."""
        return tfds.core.SplitDict(
            tfds.core.SplitInfo(
                name=name,
                shard_lengths=[size],
                num_bytes=0,
                filename_template=tfds.core.ShardedFileTemplate(
                    dataset_name=self.short, data_dir=".", filetype_suffix="tfrecord"
                ),
            )
            for name, size in self.sizes.items()
        )


# TFDS knows these names only after it has prepared the data; class folders need them earlier.
_CIFAR100_CLASSES = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
    butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab
    crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
    keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse
    mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy
    porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper
    snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television
    tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""

_SMALLNORB: dict[str, Any] = {
    "group": "structured",
    "builder": "smallnorb",
    "version": "2.0.0",
    "sizes": {"train": 24300, "test": 24300},
    # The validation part comes from the official test half.
    "splits": splits(
        "train",
        "test[:50%]",
        "test[50%:]",
        trainval="train+test[:50%]",
        everything="train+test",
        val200="test[:200]",
    ),
    # `image` is the left of two cameras.
    "native_size": "96x96 gray",
}
_DSPRITES: dict[str, Any] = {
    "group": "structured",
    "builder": "dsprites",
    "version": "2.0.0",
    "sizes": {"train": 737280},
    "splits": all_from_train(80, 90, 737280),
    "num_classes": 16,
    "native_size": "64x64 gray",
    "flip": "label",
    # Pixels are stored as 0 and 1.
    "pixel_scale": 255,
}
_CLEVR: dict[str, Any] = {
    "group": "structured",
    "builder": "clevr",
    "version": "3.1.0",
    "sizes": {"train": 70000, "validation": 15000, "test": 15000},
    # The builder's own test split has no descriptions of the scenes, hence no labels.
    "splits": cut_from_train(90, 70000, test="validation"),
    "native_size": "320x480",
}


def _angles_of_a_bin(label: int) -> str:
    first, last = int(np.ceil(label * 2.5)), int(np.ceil((label + 1) * 2.5)) - 1
    return f"angles {first} to {last} of 40"


_TASKS = (
    Task(
        id="caltech101",
        short="caltech",
        group="natural",
        builder="caltech101",
        version="3.0.2",
        sizes={"train": 3060, "test": 6084},
        splits=cut_from_train(90, 3060),
        num_classes=102,
        native_size="200 to 300",
    ),
    Task(
        id="cifar100",
        short="cifar100",
        group="natural",
        builder="cifar100",
        version="3.0.2",
        sizes={"train": 50000, "test": 10000},
        splits=cut_from_train(90, 50000),
        num_classes=100,
        native_size="32x32",
        class_names=tuple(_CIFAR100_CLASSES.split()),
    ),
    Task(
        id="dtd",
        short="dtd",
        group="natural",
        builder="dtd",
        version="3.0.1",
        sizes={"train": 1880, "validation": 1880, "test": 1880},
        splits=own_splits(),
        num_classes=47,
        native_size="300 to 640",
    ),
    Task(
        id="oxford_flowers102",
        short="flowers",
        group="natural",
        builder="oxford_flowers102",
        version="2.1.1",
        sizes={"train": 1020, "validation": 1020, "test": 6149},
        splits=own_splits(),
        num_classes=102,
        native_size="500 and more",
    ),
    Task(
        id="oxford_iiit_pet",
        short="pets",
        group="natural",
        builder="oxford_iiit_pet",
        version="4.0.0",
        sizes={"train": 3680, "test": 3669},
        splits=cut_from_train(80, 3680),
        num_classes=37,
        native_size="varies",
    ),
    Task(
        id="sun397",
        short="sun397",
        group="natural",
        builder="sun397/tfds",
        version="4.0.0",
        sizes={"train": 76128, "validation": 10875, "test": 21750},
        splits=own_splits(),
        num_classes=397,
        native_size="up to 120,000 in all",
    ),
    Task(
        id="svhn",
        short="svhn",
        group="natural",
        builder="svhn_cropped",
        version="3.1.0",
        sizes={"train": 73257, "test": 26032, "extra": 531131},
        splits=cut_from_train(90, 73257),
        num_classes=10,
        native_size="32x32",
        flip="odd",
    ),
    Task(
        id="patch_camelyon",
        short="camelyon",
        group="specialized",
        builder="patch_camelyon",
        version="2.0.0",
        sizes={"train": 262144, "validation": 32768, "test": 32768},
        splits=own_splits(),
        num_classes=2,
        native_size="96x96",
    ),
    Task(
        id="eurosat",
        short="eurosat",
        group="specialized",
        builder="eurosat/rgb",
        version="2.0.0",
        sizes={"train": 27000},
        splits=all_from_train(60, 80, 27000),
        num_classes=10,
        native_size="64x64",
    ),
    Task(
        id="resisc45",
        short="resisc45",
        group="specialized",
        builder="resisc45",
        version="3.0.0",
        sizes={"train": 31500},
        splits=all_from_train(60, 80, 31500),
        num_classes=45,
        native_size="256x256",
    ),
    Task(
        id="diabetic_retinopathy",
        short="retinopathy",
        group="specialized",
        builder="diabetic_retinopathy_detection/btgraham-300",
        version="3.0.0",
        sizes={"sample": 10, "train": 35126, "validation": 10906, "test": 42670},
        splits=own_splits(),
        num_classes=5,
        native_size="540x540",
    ),
    Task(
        id="clevr_count_all",
        short="clevr_count",
        num_classes=8,
        features=("objects/size",),
        rule=count_objects,
        class_names=tuple(f"{count} objects" for count in range(3, 11)),
        **_CLEVR,
    ),
    Task(
        id="clevr_closest_object_distance",
        short="clevr_distance",
        num_classes=6,
        features=("objects/pixel_coords",),
        rule=closest_object,
        class_names=(
            "depth up to 8",
            "depth 8 to 8.5",
            "depth 8.5 to 9",
            "depth 9 to 9.5",
            "depth 9.5 to 10",
            "depth beyond 10",
        ),
        **_CLEVR,
    ),
    Task(
        id="dmlab",
        short="dmlab",
        group="structured",
        builder="dmlab",
        version="2.0.1",
        sizes={"train": 65550, "validation": 22628, "test": 22735},
        splits=own_splits(),
        num_classes=6,
        native_size="360x480",
    ),
    Task(
        id="dsprites_x_position",
        short="dsprites_location",
        features=("label_x_position",),
        rule=binned("label_x_position", 2.0),
        class_names=tuple(f"x {2 * i} to {2 * i + 1} of 32" for i in range(16)),
        **_DSPRITES,
    ),
    Task(
        id="dsprites_orientation",
        short="dsprites_orientation",
        features=("label_orientation",),
        rule=binned("label_orientation", 2.5),
        class_names=tuple(_angles_of_a_bin(i) for i in range(16)),
        **_DSPRITES,
    ),
    Task(
        id="kitti_closest_vehicle_distance",
        short="kitti",
        group="structured",
        builder="kitti",
        version="3.3.0",
        sizes={"train": 6347, "validation": 423, "test": 711},
        splits=own_splits(),
        num_classes=4,
        native_size="375x1242",
        features=("objects/type", "objects/location"),
        rule=closest_vehicle,
        class_names=("up to 8 m", "8 to 20 m", "beyond 20 m", "no vehicle"),
    ),
    Task(
        id="smallnorb_azimuth",
        short="smallnorb_azimuth",
        num_classes=18,
        features=("label_azimuth",),
        rule=stored("label_azimuth"),
        class_names=tuple(f"azimuth {20 * i} degrees" for i in range(18)),
        flip="label",
        **_SMALLNORB,
    ),
    Task(
        id="smallnorb_elevation",
        short="smallnorb_elevation",
        num_classes=9,
        features=("label_elevation",),
        rule=stored("label_elevation"),
        class_names=tuple(f"elevation {30 + 5 * i} degrees" for i in range(9)),
        **_SMALLNORB,
    ),
)

TASKS: dict[str, Task] = {task.id: task for task in _TASKS}
