"""Few-shot subsets: some classes of a source, and k examples of each.

The subsets of one seed are nested: the 2-shot set is a subset of the 5-shot one.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from vpt_gen.data.source import Source, digest_of
from vpt_gen.errors import UserError


def choose_classes(source: Source, names: Sequence[str]) -> Source:
    """Selects the examples of the named classes, which become classes 0, 1, ... in that order.

    Raises:
      UserError: a name that the source does not know, or one that occurs twice.
    """
    check_names(names, source.class_names, source.name)
    label_of = np.full(source.num_classes, -1, np.int32)
    label_of[[source.class_names.index(name) for name in names]] = np.arange(len(names))
    labels = label_of[source.labels]
    kept = source.subset(np.flatnonzero(labels >= 0))
    return dataclasses.replace(
        kept,
        class_names=tuple(names),
        labels=labels[labels >= 0],
        digest=digest_of(kept.digest, *names),
    )


def check_names(names: Sequence[str], known: Sequence[str], source_name: str) -> None:
    """Raises UserError for a class that is not `known`, or occurs twice."""
    unknown = [name for name in names if name not in known]
    if unknown:
        shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
        raise UserError(
            f"config.data.classes names {', '.join(map(repr, unknown))}, which {source_name} does "
            f"not have; it has {shown}."
        )
    if len(set(names)) < len(names):
        raise UserError(f"config.data.classes names a class twice: {', '.join(names)}.")


def choose_shots(source: Source, shots: int, seed: int) -> Source:
    """Draws `shots` examples of each class by `seed`; returns them in the order of the source.

    A class's draw depends only on the seed, its name and its size, not on the other classes; the
    draws for fewer shots are the first of those for more.

    Raises:
      UserError: a class with fewer examples.
    """
    chosen = []
    for label, name in enumerate(source.class_names):
        generator = np.random.default_rng([seed, 0xF5, *name.encode()])
        members = np.flatnonzero(source.labels == label)
        if len(members) < shots:
            raise UserError(
                f"config.data.shots is {shots}, but class {name!r} of {source.name} has "
                f"{len(members)} training example(s); lower it, or leave the class out with "
                "config.data.classes."
            )
        chosen.append(generator.permutation(members)[:shots])
    return source.subset(np.sort(np.concatenate(chosen)))
