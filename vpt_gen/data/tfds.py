"""Data sets of TensorFlow Datasets, by name or by the directory of the prepared data.

A split of any size needs little memory: one pass over its records finds each record's place and
label, and is kept for later runs; images are read and decoded one at a time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vpt_gen.data import records
from vpt_gen.data.lazy import tf
from vpt_gen.data.source import Source, content_key, digest_of
from vpt_gen.errors import UserError
from vpt_gen.images import codec as images
from vpt_gen.machine import kept_arrays, later
from vpt_gen.machine.files import cache_folder
from vpt_gen.machine.progress import track

with later.imports(globals()):
    import tensorflow_datasets as tfds

PREPARE = "python -m vpt_gen.data.check --prepare"
# Part of an index's name: increase it when the content of an index changes its meaning.
_INDEX_FORMAT = "2"


@dataclasses.dataclass(frozen=True)
class Labeling:
    """How a record becomes a label.

    Attributes:
      name: of the rule, among all rules for the same data set.
      features: keys of the features that the rule reads.
      rule: {key: value} -> label in [0, C).
      class_names: (C,).
    """

    name: str
    features: tuple[str, ...]
    rule: Callable[[Mapping], int]
    class_names: tuple[str, ...]


def open_tfds(name: str, split: str, data_dir: str = "") -> Source:
    """Opens a split of a prepared data set with an 'image' and a class 'label'.

    Args:
      name: such as 'caltech101' or 'caltech101:3.0.2', or the directory of a prepared version.
      split: any TFDS split expression, such as 'train[:90%]'.
      data_dir: folder of TFDS's data; '' for its default.

    Returns:
      A source in the order of the prepared files.

    Raises:
      UserError: an unknown name or split, or a data set that is not prepared, damaged, or without
        class labels.
    """
    builder = open_builder(name, data_dir)
    feature = dict(builder.info.features.items()).get("label")
    if not isinstance(feature, tfds.features.ClassLabel):
        raise UserError(f"TFDS data set {name!r} has no examples with a class 'label'.")
    class_names = tuple(feature.int2str(i) for i in range(feature.num_classes))
    labeling = Labeling("label", ("label",), lambda example: int(example["label"]), class_names)
    return open_split(builder, split, labeling)


def load_builder(name: str, data_dir: str = "") -> tfds.core.DatasetBuilder:
    """Returns a data set's builder, prepared or not; `name` and errors as in `open_tfds`."""
    try:
        if pathlib.Path(name).is_dir():
            return tfds.builder_from_directory(name)
        return tfds.builder(name, data_dir=data_dir or None)
    except Exception as error:  # TFDS raises many kinds of errors.
        raise UserError(
            f"TFDS data set {name!r} cannot be opened ({_first_line(error)}); "
            "check the name, or use a folder of images."
        ) from error


def open_builder(name: str, data_dir: str = "") -> tfds.core.DatasetBuilder:
    """Returns the builder of a prepared data set; downloads nothing."""
    builder = load_builder(name, data_dir)
    if not builder.is_prepared():
        raise UserError(
            f"TFDS data set {name!r} is not prepared in {builder.data_path}: prepare it with "
            f"`{PREPARE}` on a machine with network, set config.data.data_dir to its folder, or "
            "use class folders (config.data.path)."
        )
    return builder


def open_split(
    builder: tfds.core.DatasetBuilder,
    split: str,
    labeling: Labeling,
    *,
    image_key: str = "image",
    pixel_scale: int = 1,
) -> Source:
    """Opens a split of a prepared data set, labeled by a rule.

    Args:
      builder: of a prepared data set.
      split: TFDS split expression.
      labeling: how a record becomes a label.
      image_key: feature that is the image; encoded, or a uint8 tensor (H, W[, 1 or 3]).
      pixel_scale: factor of its pixels.

    Raises:
      UserError: an unknown split, or unusable examples.
    """
    name = f"{builder.info.full_name}[{split}]"
    label_reader = RecordReader(builder.info.features, (*labeling.features, image_key))
    image_reader = RecordReader(builder.info.features, (image_key,))
    image_feature = builder.info.features[image_key]
    try:
        instructions = builder.info.splits[split].file_instructions
        index = _load_or_build(builder, instructions, label_reader, labeling, image_key)
    except UserError:
        raise
    except Exception as error:  # TFDS and TensorFlow raise many kinds of errors.
        raise UserError(
            f"TFDS data set {name} cannot be opened ({_first_line(error)}); check the split, or "
            f"prepare the data set again with `{PREPARE}`."
        ) from error
    _check_labels(name, index.labels, labeling.class_names)

    def load(number: int) -> np.ndarray:
        stored = image_reader.read(index.records.read(number))[image_key]
        if isinstance(image_feature, tfds.features.Image):
            image = images.decode(stored)
        else:
            image = _to_rgb(image_feature.decode_example_np(stored))
        return image if pixel_scale == 1 else image * np.uint8(pixel_scale)

    digest = digest_of(*labeling.class_names, index.labels, index.image_digest, str(pixel_scale))
    return Source(name, labeling.class_names, index.labels, load, digest, index.content)


class RecordReader:
    """Extracts some features of a serialized example, as they are stored.

    TFDS's own readers need a millisecond per example, far too long for 700,000 examples.
    """

    def __init__(self, features: tfds.features.FeaturesDict, keys: tuple[str, ...]):
        """Takes `keys` such as 'label', or 'objects/type' for a part of a sequence."""
        self._specs = {key: _stored_spec(features.get_serialized_info(), key) for key in keys}

    def read(self, record: bytes) -> dict[str, Any]:
        """Key -> bytes, a number, or an array; a sequence of length n has shape (n, ...)."""
        stored = tf.train.Example.FromString(record).features.feature
        return {key: _value(stored[key], spec) for key, spec in self._specs.items()}


def _stored_spec(info, key: str) -> tfds.features.TensorInfo:
    spec = info
    for part in key.split("/"):
        if part not in spec:
            raise UserError(f"The data set has no feature {key!r}; it has {', '.join(info)}.")
        spec = spec[part]
    if not isinstance(spec, tfds.features.TensorInfo):
        raise UserError(f"The feature {key!r} of the data set is not a plain array or image.")
    return spec


def _value(stored: tf.train.Feature, spec: tfds.features.TensorInfo):
    kind = stored.WhichOneof("kind")
    values: Any = getattr(stored, kind).value if kind else ()
    if not spec.shape:
        return values[0]
    return np.array(values, spec.np_dtype).reshape([-1 if n is None else n for n in spec.shape])


@dataclasses.dataclass(frozen=True)
class _Index:
    """The result of one pass over a split: places, labels, keys and a digest of the images."""

    records: records.Records
    labels: np.ndarray
    content: np.ndarray
    image_digest: str


def _load_or_build(
    builder, instructions, reader: RecordReader, labeling: Labeling, image_key: str
) -> _Index:
    """Reads the index from the cache; builds it again if the files have changed."""
    files = tuple(str(instruction.filename) for instruction in instructions)
    records.check_formats(files)
    stats = [tf.io.gfile.stat(file) for file in files]
    about = [
        (file, stat.length, stat.mtime_nsec, instruction.skip, instruction.take)
        for file, stat, instruction in zip(files, stats, instructions, strict=True)
    ]
    key = digest_of(_INDEX_FORMAT, labeling.name, image_key, json.dumps(about))
    path = cache_folder() / "records" / f"{key[:32]}.npz"
    found = kept_arrays.load(
        path,
        "cached places of images",
        lambda kept: _Index(
            records.Records(files, kept["places"]),
            kept["labels"],
            kept["content"],
            str(kept["image_digest"]),
        ),
    )
    if found is not None:
        return found
    index = _build(builder, instructions, reader, labeling, image_key)
    arrays = {
        "places": index.records.places,
        "labels": index.labels,
        "content": index.content,
        "image_digest": np.array(index.image_digest),
    }
    failure = f"The index of {builder.info.full_name} cannot be saved for the next run"
    kept_arrays.save(path, arrays, failure, compressed=True)
    return index


def _build(
    builder, instructions, reader: RecordReader, labeling: Labeling, image_key: str
) -> _Index:
    places, labels, content, digest = [], [], [], hashlib.sha256()
    found = track(
        records.scan(instructions),
        total=sum(instruction.take for instruction in instructions),
        label=f"indexing {builder.info.full_name}",
    )
    for place, record in found:
        example = reader.read(record)
        places.append(place)
        labels.append(labeling.rule(example))
        content.append(content_key(example[image_key]))
        digest.update(hashlib.sha256(example[image_key]).digest())
    files = tuple(str(instruction.filename) for instruction in instructions)
    where = records.Records(files, np.array(places, np.int64).reshape(-1, 3))
    keys = np.array(content, np.uint64)
    return _Index(where, np.array(labels, np.int32), keys, digest.hexdigest())


def _to_rgb(image: np.ndarray) -> np.ndarray:
    """A uint8 tensor (H, W), (H, W, 1) or (H, W, 3) -> (H, W, 3)."""
    image = image[..., None] if image.ndim == 2 else image
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] not in (1, 3):
        raise OSError(f"an image must be uint8 (H, W[, 1 or 3]), not {image.dtype} {image.shape}")
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image


def _check_labels(name: str, labels: np.ndarray, class_names: tuple[str, ...]) -> None:
    if not len(labels):
        raise UserError(f"TFDS data set {name} holds no examples.")
    if labels.min() < 0:
        raise UserError(f"TFDS data set {name} has examples without a label.")
    if labels.max() >= len(class_names):
        raise UserError(
            f"TFDS data set {name} has the label {labels.max()}, beyond its "
            f"{len(class_names)} classes; is it a prepared copy of another version?"
        )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__
