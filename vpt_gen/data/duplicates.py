"""Exact duplicates among opened images: within a class, across classes, and across a split.

Images are the same if their decoded pixels are (`Source.content`); TFDS compares stored images.
"""

import dataclasses

import numpy as np

from vpt_gen.data.source import Source


@dataclasses.dataclass(frozen=True)
class Duplicates:
    """Counts of images, 0 where there are no duplicates.

    Attributes:
      within_classes: images that repeat an earlier one of their class.
      across_classes: images that another class has, too.
      held_out_in_training: held-out images that are also training images.
    """

    within_classes: int
    across_classes: int
    held_out_in_training: int


def count(train: Source, held_out: Source | None) -> Duplicates | None:
    """Counts the duplicates of two parts of the same classes; None if content is not known."""
    parts = [part for part in (train, held_out) if part is not None]
    contents = [part.content for part in parts if part.content is not None]
    if len(contents) < len(parts):
        return None
    content, labels = np.concatenate(contents), np.concatenate([part.labels for part in parts])
    _, image = np.unique(content, return_inverse=True)
    pairs = np.unique(np.stack([image, labels]), axis=1)
    classes_of = np.bincount(pairs[0])
    shared = number_in(held_out, train) if held_out else 0
    return Duplicates(
        len(content) - pairs.shape[1], int(np.count_nonzero(classes_of[image] > 1)), shared
    )


def number_in(source: Source, other: Source) -> int:
    """Returns how many images of a source are also in another; 0 if content is not known."""
    if source is other:
        return len(source)
    if source.content is None or other.content is None:
        return 0
    return int(np.isin(source.content, other.content).sum())


def sentence(found: Duplicates | None, where: str) -> str:
    """Tells of duplicates in one sentence; '' if there are none, or none are known."""
    if found is None:
        return ""
    parts = [
        (found.within_classes, "repeat{s} another image of the same class"),
        (found.across_classes, "{is} also in another class"),
        (found.held_out_in_training, "{is} held out but also among the training images"),
    ]
    told = [
        f"{n:,} image{'s' * (n != 1)} {what.format(s='s' * (n == 1), **{'is': _be(n)})}"
        for n, what in parts
        if n
    ]
    return f"Exact duplicates in {where}: {', '.join(told)}." if told else ""


def _be(number: int) -> str:
    return "is" if number == 1 else "are"
