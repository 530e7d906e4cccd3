"""A folder of images: one sub-folder a class, or flat (one class)."""

import hashlib
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
    if not path or not root.is_dir():
        raise UserError(
            f"Image folder {path!r} does not exist; set config.data.path to your folder."
        )
    classes = _list_classes(root)
    digests = _digest_readable([file for files in classes.values() for file in files])
    files, labels = [], []
    for label, (name, members) in enumerate(classes.items()):
        members = [file for file in members if file in digests]
        if not members:
            raise UserError(
                f"Class {name!r} of {root} holds no readable image; add some or remove the folder."
            )
        files += members
        labels += [label] * len(members)

    def load(index: int) -> np.ndarray:
        try:
            return images.decode(files[index])
        except Exception as error:  # Pillow raises many kinds on broken input.
            raise OSError(f"{files[index]} has become unreadable: {error}") from error

    contents = [f"{file.relative_to(root).as_posix()}:{digests[file]}" for file in files]
    return Source(
        name=str(root),
        class_names=tuple(classes),
        labels=np.array(labels, np.int32),
        load=load,
        digest=digest_of(*contents, np.array(labels, np.int32)),
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
    return {folder.name: _image_files(_walk(folder)) for folder in folders}


def _walk(folder: pathlib.Path):
    """What lies in a folder and in its sub-folders, but for hidden ones."""
    for path in folder.iterdir():
        if not path.is_dir():
            yield path
        elif not path.name.startswith("."):
            yield from _walk(path)


def _image_files(paths) -> list[pathlib.Path]:
    files = sorted(p for p in paths if p.is_file() and not p.name.startswith("."))
    for file in files:
        if file.suffix.lower() not in images.EXTENSIONS:
            say(f"Passed over, no image by its name: {file}")
    return [file for file in files if file.suffix.lower() in images.EXTENSIONS]


def _digest_readable(files: list[pathlib.Path]) -> dict[pathlib.Path, str]:
    """The content's digest of each file that decodes; each of the others is named in a warning."""

    def digest(file: pathlib.Path) -> str | Exception:
        try:
            images.decode(file)
            with open(file, "rb") as content:
                return hashlib.file_digest(content, "sha256").hexdigest()
        except Exception as error:  # Pillow raises many kinds on broken input.
            return error

    digests = {}
    with ThreadPoolExecutor() as pool:
        results = track(pool.map(digest, files), total=len(files), label="checking images")
        for file, result in zip(files, results, strict=True):
            if isinstance(result, Exception):
                say(f"Left out, cannot be read: {file} ({result})")
            else:
                digests[file] = result
    return digests
