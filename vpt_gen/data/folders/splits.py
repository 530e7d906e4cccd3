"""Class folders inside folders of splits: `path/<split>/<class>/`."""

import os
from collections.abc import Iterable

from vpt_gen.data.folders.listing import (
    holds_images,
    holds_loose_images,
    listing_fault,
    shown,
    sub_folders,
)
from vpt_gen.data.names import first_few
from vpt_gen.data.vtab.splits import SPLITS
from vpt_gen.errors import UserError

# VTAB's names of splits, and other usual ones.
_NAMES = (*SPLITS, "valid", "validation", "training", "testing", "dev")


def is_split_name(name: str) -> bool:
    """Whether a folder is named like a split, in upper or lower case."""
    return _rank(name) < len(_NAMES)


def split_folder(path: str, split: str, also: str = "") -> str:
    """Returns `path/<split>`, or '' if class folders are directly in `path`.

    A split holds class folders with images, and most folders next to it are splits, too: a class
    may be named 'train', as in CIFAR-100. A folder of another name is a split if `split` says so.

    Args:
      path: the folder.
      split: its name; '' for class folders directly in `path`, whatever their names.
      also: name of another split, if there is one.

    Raises:
      UserError: there are folders of other splits but not of this one, or it may be a class, or
        cannot be listed.
    """
    if not path or not split:
        return ""
    folder = os.path.join(os.path.expanduser(path), split)
    is_split = _holds_classes(os.fsencode(folder))
    if is_split and not is_split_name(split):
        return folder
    root = os.fsencode(os.path.expanduser(path))
    names = sorted(sub_folders(root), key=lambda name: _rank(shown(name)))
    splits = [n for n in names if os.fsdecode(n) == also or is_split_name(shown(n))]
    with_classes = [shown(n) for n in splits if _holds_classes(os.path.join(root, n))]
    if not with_classes:
        return ""
    others = [shown(n) for n in names if n not in splits and holds_images(root, n)]
    if not is_split:
        if others:
            return ""
        if fault := listing_fault(os.fsencode(folder)):
            raise UserError(fault)
        raise UserError(
            f"{path} has folders for the splits {', '.join(with_classes)}, but none for "
            f"{split!r}; add it, or set config.data.train_split and config.data.eval_split to "
            "existing ones."
        )
    if others and holds_loose_images(os.fsencode(folder)):
        return ""  # A class with folders inside: a split has no images outside of its classes.
    if len(others) >= sum(holds_images(root, name) for name in splits):
        raise UserError(
            f"{folder} may be a split, or a class like {first_few(others)} next to it: set "
            "config.data.train_split='' to read all of them as classes, or "
            f"config.data.path={folder} to read only the classes in it."
        )
    return folder


def unread(path: str, splits: Iterable[str]) -> str:
    """Returns a message about folders with images that are none of `splits`, or ''."""
    root = os.fsencode(os.path.expanduser(path))
    names = [name for name in sub_folders(root) if os.fsdecode(name) not in splits]
    others = [shown(name) for name in names if holds_images(root, name)]
    reason = "config.data.train_split and eval_split name other folders"
    return f"Not read in {path}: {first_few(others)}, because {reason}." if others else ""


def _rank(name: str) -> int:
    """Returns the position of a usual split, of others the end."""
    lower = name.lower()
    return _NAMES.index(lower) if lower in _NAMES else len(_NAMES)


def _holds_classes(path: bytes) -> bool:
    return any(holds_images(path, name) for name in sub_folders(path))
