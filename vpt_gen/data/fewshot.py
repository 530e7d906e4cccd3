"""Few-shot subsets: some classes of a source, and k examples of each.

The subsets of one seed are nested: the 2-shot set is a subset of the 5-shot one.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from vpt_gen.data.names import name_key, nearest, numbers_of, some
from vpt_gen.data.source import Source, digest_of
from vpt_gen.errors import UserError


def choose_classes(source: Source, names: Sequence[str]) -> Source:
    """Selects the examples of the named classes, which become classes 0, 1, ... in that order.

    They are called as in `names`, whatever the source's spelling (`data/names.py`).

    Raises:
      UserError: a name that the source does not know, or one that occurs twice.
    """
    label_of = np.full(source.num_classes, -1, np.int32)
    label_of[labels_of(names, source.class_names, source.name)] = np.arange(len(names))
    names = [str(name) for name in names]
    labels = label_of[source.labels]
    kept = source.subset(np.flatnonzero(labels >= 0))
    return dataclasses.replace(
        kept,
        class_names=tuple(names),
        labels=labels[labels >= 0],
        digest=digest_of(kept.digest, *names),
    )


def labels_of(names: Sequence[str], known: Sequence[str], source_name: str) -> list[int]:
    """Returns the label of each named class; UserError if it is not `known`, or occurs twice."""
    numbers = numbers_of(known)
    unknown = [str(name) for name in names if name_key(name) not in numbers]
    if unknown:
        raise UserError(
            f"config.data.classes names {', '.join(map(repr, unknown))}, which {source_name} does "
            f"not have; it has {some(known)}{nearest(unknown[0], known)}"
        )
    labels = [numbers[name_key(name)] for name in names]
    if len(set(labels)) < len(labels):
        raise UserError(f"config.data.classes names a class twice: {', '.join(map(str, names))}.")
    return labels


def choose_shots(source: Source, shots: int, seed: int) -> Source:
    """Draws `shots` examples of each class by `seed`; returns them in the order of the source.

    A class's draw depends only on the seed, its name (however its accents are spelled) and its
    size, not on the other classes; the draws for fewer shots are the first of those for more.

    Raises:
      UserError: a class with fewer examples.
    """
    chosen = []
    for label, name in enumerate(source.class_names):
        generator = np.random.default_rng([seed, 0xF5, *name_key(name).encode()])
        members = np.flatnonzero(source.labels == label)
        if len(members) < shots:
            raise UserError(
                f"config.data.shots is {shots}, but class {name!r} of {source.name} has "
                f"{len(members)} training example(s); lower it, or leave the class out with "
                "config.data.classes."
            )
        chosen.append(generator.permutation(members)[:shots])
    return source.subset(np.sort(np.concatenate(chosen)))
