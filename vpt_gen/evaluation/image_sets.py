"""Sets of images to be measured, as streams, with records to reproduce them."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from vpt_gen.data import duplicates, pipeline
from vpt_gen.data.batches import evaluation_name, image_spec, open_judge
from vpt_gen.data.kinds import kind_of
from vpt_gen.data.pipeline import ImageSpec
from vpt_gen.data.source import Source, digest_of
from vpt_gen.images import codec as images
from vpt_gen.images.codec import to_uint8

# The name of a reference that a generator of copies would match perfectly.
TRAINED_ON = "images trained on"


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Images to be measured.

    Attributes:
      name: for people, such as "held-out images".
      labels: (n,) number of each image's class.
      class_names: one for each number.
      stream: (wanted (n,) bool, or None for all) -> uint8 images (H, W, 3) or batches (B, H, W, 3)
        of those images, in the order of `labels`.
      record: everything needed to reproduce them, for JSON.
      digest: of the images as they are streamed; '' if it is not known in advance.
      source: the real images, before they were prepared; None for others.
      trained_on: how many of them the generator was trained on, as far as that is known.
    """

    name: str
    labels: np.ndarray
    class_names: tuple[str, ...]
    stream: Callable[..., Iterator[np.ndarray]]
    record: dict[str, Any]
    digest: str = ""
    source: Source | None = None
    trained_on: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def __str__(self) -> str:
        return counted(len(self), self.name)

    def pictures(self, chosen: np.ndarray) -> list[np.ndarray]:
        """Returns the images (H, W, 3) that `chosen` (n,) marks; no others are read."""
        found: list[np.ndarray] = []
        for item in self.stream(chosen):
            found.extend(item if item.ndim == 4 else item[None])
        return found


def in_memory(images: np.ndarray) -> Callable[..., Iterator[np.ndarray]]:
    """Returns the stream of a set of images (n, H, W, 3)."""
    return lambda wanted=None: iter(images if wanted is None else images[wanted])


def counted(count: int, name: str) -> str:
    """Returns a count of the images `name`, in words: "1 held-out image"."""
    return f"{count:,} {name.replace('images', 'image', 1) if count == 1 else name}"


def tapped(
    stream: Iterator[np.ndarray], chosen: np.ndarray, into: list[np.ndarray]
) -> Iterator[np.ndarray]:
    """Yields the same stream; the images (H, W, 3) with `chosen` (n,) are also kept."""
    start = 0
    for item in stream:
        batch = item if item.ndim == 4 else item[None]
        into.extend(batch[chosen[start : start + len(batch)]])
        start += len(batch)
        yield item


def real_images(source: Source, name: str, split: str, spec: ImageSpec | None) -> ImageSet:
    """Makes the set of a source's images.

    Args:
      source: of images.
      name: for people.
      split: which part of the data they are, for the record.
      spec: how they become squares of one size (without its augmentation), rounded to 8 bits;
        None for no change.
    """
    preparation = "as they are"
    if spec:
        spec = ImageSpec(spec.size, spec.fit)
        preparation = f"{spec.fit} to {spec.size}x{spec.size}, antialiased bilinear, 8 bits"

    def stream(wanted: np.ndarray | None = None) -> Iterator[np.ndarray]:
        indices = np.arange(len(source)) if wanted is None else np.flatnonzero(wanted)
        if spec is None:
            return pipeline.image_stream(source, indices)
        views = pipeline.view_stream(source, spec, indices, views=1, seed=0)
        return (to_uint8(view) for view in views)

    record = {
        "images": counted(len(source), name),
        "source": source.name,
        "split": split,
        "count": len(source),
        "classes": source.num_classes,
        "digest": source.digest,
        "preparation": preparation,
    }
    digest = digest_of(source.digest, preparation, f"decoder {images.DECODER}")
    labels, class_names = source.labels, source.class_names
    return ImageSet(name, labels, class_names, stream, record, digest, source)


def with_trained(images: ImageSet, trained: Source | None) -> ImageSet:
    """Counts the images of a reference that the generator was trained on, if these are known.

    If it is all of them, the reference is called "images trained on".
    """
    assert images.source is not None  # Real images have one.
    count = duplicates.number_in(images.source, trained) if trained else images.trained_on
    name = TRAINED_ON if count == len(images) else images.name
    record = {**images.record, "images": counted(len(images), name), "trained_on": count}
    return dataclasses.replace(images, name=name, record=record, trained_on=count)


def real_sets(
    config: ConfigDict, train: Source, held_out: Source | None
) -> tuple[ImageSet, ImageSet | None]:
    """Returns a run's reference and training images; without the latter if none are held out.

    The reference is then the images trained on, and says so.

    Args:
      config: its `data` describes the sources.
      train: what prompts are tuned on; here without augmentation.
      held_out: other images.
    """
    data, spec = config.data, image_spec(config.data)
    whole, rest = data.train_split, kind_of(data).eval_split(data)
    if not (held_out and rest):
        rest = f"{data.holdout:g} of each class"
        whole = f"all but {rest}" if held_out else "all"
        rest += f", drawn by seed {data.holdout_seed}"
    if data.validation:
        whole += f", without {data.validation:g} of that for validation"
        if data.evaluate_on == "validation":
            rest = f"{data.validation:g} of what is not held out, drawn by seed {data.holdout_seed}"
    if data.classes:
        whole += f", of the classes {', '.join(train.class_names)}"
    if data.shots:
        whole += f", {data.shots} of each class, drawn by seed {data.shots_seed}"
    training = real_images(train, "training images", whole, spec)
    if held_out is None:
        return with_trained(training, train), None
    reference = real_images(held_out, evaluation_name(data), rest, spec)
    return with_trained(reference, train), training


def judge_images(config: ConfigDict) -> ImageSet | None:
    """Returns the images of `config.evaluation.judge_shots`; None to use the training images."""
    if not config.evaluation.judge_shots:
        return None
    which = (
        f"{config.evaluation.judge_shots} of each class, drawn by seed {config.data.holdout_seed}"
    )
    judge = open_judge(config)
    assert judge is not None  # `judge_shots` is positive.
    return real_images(judge, "judging images", which, image_spec(config.data))
