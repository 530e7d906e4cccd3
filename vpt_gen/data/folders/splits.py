"""Class folders inside folders of splits: `path/<split>/<class>/`."""

import pathlib

from vpt_gen.data.vtab.splits import SPLITS
from vpt_gen.errors import UserError

# VTAB's names of splits, and other usual ones.
NAMES = (*SPLITS, "valid", "validation", "training", "testing", "dev")


def split_folder(path: str, split: str) -> str:
    """Returns `path/<split>`, or '' if class folders are directly in `path`.

    A folder without folders in it is not a split: CIFAR-100 has a class named 'train'.

    Raises:
      UserError: there are folders of other splits but not of this one.
    """
    if not path:
        return ""
    root = pathlib.Path(path).expanduser()
    if _holds_folders(root / split):
        return str(root / split)
    others = [name for name in NAMES if _holds_folders(root / name)]
    if others:
        raise UserError(
            f"{root} has folders for the splits {', '.join(others)}, but none for {split!r}; add "
            "it, or set config.data.train_split and config.data.eval_split to existing ones."
        )
    return ""


def _holds_folders(path: pathlib.Path) -> bool:
    try:
        return any(entry.is_dir() and not entry.name.startswith(".") for entry in path.iterdir())
    except OSError:  # Not a folder, or one without permission.
        return False
