"""Class folders that lie in a folder of their split, `path/<split>/<class>/`, as many sets come."""

import pathlib

from vpt_gen.data.vtab.splits import SPLITS
from vpt_gen.errors import UserError

# VTAB's, and what else splits are called.
NAMES = (*SPLITS, "valid", "validation", "training", "testing", "dev")


def split_folder(path: str, split: str) -> str:
    """`path/<split>`, or '' if class folders lie right in `path`.

    A folder without folders in it is no split: CIFAR-100 has a class that is called 'train'.

    Raises:
      UserError: there are folders of other splits and none of this one.
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
            "it, or set config.data.train_split and config.data.eval_split to what there is."
        )
    return ""


def _holds_folders(path: pathlib.Path) -> bool:
    try:
        return any(entry.is_dir() and not entry.name.startswith(".") for entry in path.iterdir())
    except OSError:  # No folder, or one that one may not look into.
        return False
