"""A data set of TensorFlow Datasets, by name or by the directory it was prepared in."""

import pathlib

import numpy as np

from vpt_gen.data import images
from vpt_gen.data.source import Source, digest_of
from vpt_gen.errors import UserError


def open_tfds(name: str, split: str, data_dir: str = "") -> Source:
    """Opens a split; the encoded images are held in memory, in the order of the prepared files.

    Args:
      name: such as 'caltech101' or 'caltech101:3.0.1', or the directory of a prepared version.
      split: any TFDS split expression, such as 'train[:90%]'.
      data_dir: where TFDS keeps its data; '' is its default.

    Raises:
      UserError: unknown name or split, or a data set that cannot be prepared here.
    """
    import tensorflow_datasets as tfds

    try:
        if pathlib.Path(name).is_dir():
            builder = tfds.builder_from_directory(name)
        else:
            builder = tfds.builder(name, data_dir=data_dir or None)
            builder.download_and_prepare()
        dataset = builder.as_dataset(
            split=split,
            decoders={"image": tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(interleave_cycle_length=1),
        )
        examples = list(tfds.as_numpy(dataset))
    except Exception as error:  # TFDS and its downloads raise many kinds.
        raise UserError(
            f"TFDS data set {name!r}, split {split!r}, cannot be opened ({_first_line(error)}); "
            "check the name, prepare it where there is a network, or use a folder of images."
        ) from error
    feature = dict(builder.info.features.items()).get("label")
    if not isinstance(feature, tfds.features.ClassLabel) or not examples:
        raise UserError(
            f"TFDS data set {name!r}, split {split!r}, has no examples with a class 'label'."
        )
    encoded = [example["image"] for example in examples]
    labels = np.array([example["label"] for example in examples], np.int32)
    if labels.min() < 0:
        raise UserError(f"TFDS data set {name!r}, split {split!r}, has examples without a label.")
    class_names = tuple(feature.int2str(i) for i in range(feature.num_classes))
    contents = (np.frombuffer(data, np.uint8) for data in encoded)
    return Source(
        name=f"{builder.info.full_name}[{split}]",
        class_names=class_names,
        labels=labels,
        load=lambda i: images.decode(encoded[i]),
        digest=digest_of(*class_names, labels, *contents),
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__
