"""Small prepared copies of the TFDS data sets of the few-shot configs, in the builders' formats.

Every class has COUNT examples in every split; an image's grey tells its label, see `grey_of`.
"""

import numpy as np
import tensorflow_datasets as tfds

COUNT = 3
# Builder -> splits that have labels.
SPLITS = {
    "places365_small:2.1.0": ("train", "validation"),
    "imagenet2012:5.1.0": ("train", "validation"),
    "imagenet_sketch:1.0.0": ("test",),
    "domainnet/clipart:1.0.0": ("train", "test"),
    "domainnet/infograph:1.0.0": ("train", "test"),
}


def grey_of(label):
    """The gray, in [0, 250), of images with a label below 1000."""
    return label // 4


def _examples(builder):
    shape = [side or 8 for side in builder.info.features["image"].shape]
    texts = {k: k for k, f in builder.info.features.items() if isinstance(f, tfds.features.Text)}
    for i in range(COUNT * builder.info.features["label"].num_classes):
        label = i // COUNT
        image = np.full(shape, grey_of(label), np.uint8)
        yield i, {"image": image, "label": label, **texts}


def write(folder, name):
    """Prepares the builder `name`, one of `SPLITS`."""
    builder = tfds.builder(name, data_dir=str(folder))
    tfds.dataset_builders.store_as_tfds_dataset(
        name=builder.name,
        version=str(builder.version),
        config=builder.builder_config,
        features=builder.info.features,
        split_datasets={split: _examples(builder) for split in SPLITS[name]},
        data_dir=str(folder),
    )
