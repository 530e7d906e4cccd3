"""A source of labeled images with random access, and its split into training and held-out."""

import dataclasses
import hashlib
import math
from collections.abc import Callable

import numpy as np

Batch = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Source:
    """Labeled images, addressed by index.

    Attributes:
      name: for messages.
      class_names: one for each label.
      labels: (n,) int32 in [0, C).
      load: index -> uint8 (H, W, 3); images may differ in size.
      digest: hexadecimal digest of the content and order of the examples.
      content: (n,) uint64, equal for equal images (see `content_key`); None if not known.
      file: index -> path of the image's file; None if images are not single files.
    """

    name: str
    class_names: tuple[str, ...]
    labels: np.ndarray
    load: Callable[[int], np.ndarray]
    digest: str
    content: np.ndarray | None = None
    file: Callable[[int], bytes] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def subset(self, indices: np.ndarray) -> "Source":
        """Returns the examples at `indices`, in that order, renumbered from 0."""
        indices = np.asarray(indices, np.int64)
        file = self.file
        return dataclasses.replace(
            self,
            labels=self.labels[indices],
            load=lambda i: self.load(int(indices[i])),
            digest=digest_of(self.digest, indices),
            content=None if self.content is None else self.content[indices],
            file=None if file is None else lambda i: file(int(indices[i])),
        )


def digest_of(*parts: str | np.ndarray) -> str:
    """Returns the SHA-256 of strings and arrays (shape, type and content), hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.shape}{part.dtype.str}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        else:
            digest.update(part.encode())
        digest.update(b"\0")
    return digest.hexdigest()


def content_key(image: np.ndarray | bytes) -> int:
    """Returns 64 bits that are the same for the same pixels (H, W, 3), or the same stored bytes."""
    shape = str(image.shape).encode() if isinstance(image, np.ndarray) else b""
    data = image.tobytes() if isinstance(image, np.ndarray) else image
    return int.from_bytes(hashlib.blake2b(data, digest_size=8, key=shape).digest(), "little")


def split(source: Source, holdout: float, seed: int) -> tuple[Source, Source | None]:
    """Holds out floor(holdout * n_c) examples of each class, drawn by `seed`.

    Args:
      source: all examples.
      holdout: share in [0, 1).
      seed: of the draw.

    Returns:
      The training part and the held-out part, None if nothing is held out; both in the order
      of `source`.
    """
    generator = np.random.default_rng([seed, 0x5911])
    held_out = np.zeros(len(source), bool)
    for label in range(source.num_classes):
        members = generator.permutation(np.flatnonzero(source.labels == label))
        # 0.29 * 100 is a little less than 29.
        held_out[members[: math.floor(holdout * len(members) + 1e-9)]] = True
    if not held_out.any():
        return source, None
    return source.subset(np.flatnonzero(~held_out)), source.subset(np.flatnonzero(held_out))
