"""A folder of images: one sub-folder a class, or flat (one class)."""

import pathlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from vpt_gen.data import images
from vpt_gen.data.source import Source, digest_of
from vpt_gen.errors import UserError
from vpt_gen.progress import say, track


def open_folder(path: str) -> Source:
    """Reads a folder of images; files that are no images are passed over, broken ones named.

    Args:
      path: with one sub-folder a class (labels follow the sorted names), or images right inside
        (then there is one class, named like the folder).

    Raises:
      UserError: missing folder, no images, a class without a readable image, or images beside
        class folders.
    """
    root = pathlib.Path(path).expanduser()
    if not root.is_dir():
        raise UserError(f"Image folder {root} does not exist; set config.data.path to your folder.")
    classes = _list_classes(root)
    readable = _drop_broken([file for files in classes.values() for file in files])
    files, labels = [], []
    for label, (name, members) in enumerate(classes.items()):
        members = [file for file in members if file in readable]
        if not members:
            raise UserError(
                f"Class {name!r} of {root} holds no readable image; add some or remove the folder."
            )
        files += members
        labels += [label] * len(members)
    stamps = [f"{f.relative_to(root)}:{f.stat().st_size}:{f.stat().st_mtime_ns}" for f in files]
    return Source(
        name=str(root),
        class_names=tuple(classes),
        labels=np.array(labels, np.int32),
        load=lambda i: images.decode(files[i]),
        digest=digest_of(*stamps, np.array(labels, np.int32)),
    )


def _list_classes(root: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """Class name -> its image files, sorted; hidden files and folders do not count."""
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    loose = _image_files(p for p in root.iterdir())
    if folders and loose:
        raise UserError(
            f"{root} has images beside class folders ({loose[0].name}, for one); "
            "put every image into a class folder, or use no folders at all."
        )
    if not folders and not loose:
        raise UserError(f"{root} holds no images ({', '.join(sorted(images.EXTENSIONS))}).")
    if loose:
        return {root.resolve().name: loose}
    return {folder.name: _image_files(folder.rglob("*")) for folder in folders}


def _image_files(paths) -> list[pathlib.Path]:
    files = sorted(p for p in paths if p.is_file() and not p.name.startswith("."))
    for file in files:
        if file.suffix.lower() not in images.EXTENSIONS:
            say(f"Passed over, no image by its name: {file}")
    return [file for file in files if file.suffix.lower() in images.EXTENSIONS]


def _drop_broken(files: list[pathlib.Path]) -> set[pathlib.Path]:
    """The files that decode to their last byte; each of the others is named in a warning."""

    def error_in(file: pathlib.Path) -> Exception | None:
        try:
            images.decode(file)
        except Exception as error:  # Pillow raises many kinds on broken input.
            return error
        return None

    readable = set()
    with ThreadPoolExecutor() as pool:
        checks = track(pool.map(error_in, files), total=len(files), label="checking images")
        for file, error in zip(files, checks, strict=True):
            if error is None:
                readable.add(file)
            else:
                say(f"Left out, cannot be read: {file} ({error})")
    return readable
