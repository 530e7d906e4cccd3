"""Lists the image files below a folder, by class, fast and in little memory."""

import array
import dataclasses
import os
from collections.abc import Iterable, Iterator

import numpy as np

from vpt_gen.errors import UserError
from vpt_gen.images.codec import EXTENSIONS

_EXTENSIONS = frozenset(os.fsencode(extension) for extension in EXTENSIONS)
_HEIC = frozenset({b".heic", b".heif"})
# What systems leave in folders, in lower case; ignored at any depth, like hidden files.
# docs/images.md has the list.
_LEFTOVERS = frozenset(
    (b"__macosx", b"icon\r", b"network trash folder", b"temporary items")  # macOS
    + (b"thumbs.db", b"ehthumbs.db", b"desktop.ini", b"$recycle.bin", b"recycler", b"msocache")
    + (b"system volume information", b"found.000", b"lost+found", b"lost.dir")  # other disks
    + (b"@eadir", b"#recycle", b"#snapshot", b"@tmp", b"@sharebin")  # Synology
    + (b"@recycle", b"@recently-snapshot", b"@__thumb")  # QNAP
)


class Names:
    """File names as bytes, one after another in a single block of memory."""

    def __init__(self, blob: bytes, ends: np.ndarray):
        """Takes the joined names and the end of each, int64 (n,)."""
        self.blob = blob
        self.ends = ends

    @classmethod
    def of(cls, names: Iterable[bytes]) -> "Names":
        """Packs names, which may be an iterator."""
        blob, ends = bytearray(), array.array("q")
        for name in names:
            blob += name
            ends.append(len(blob))
        return cls(bytes(blob), np.array(ends, np.int64))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> bytes:
        start = self.ends[index - 1] if index else 0
        return self.blob[start : self.ends[index]]

    def __iter__(self) -> Iterator[bytes]:
        start = 0
        for end in self.ends.tolist():
            yield self.blob[start:end]
            start = end


@dataclasses.dataclass(frozen=True)
class Listing:
    """Contents of a folder.

    Attributes:
      class_names: sorted.
      names: of the image files, relative to the folder and with '/' between the parts, sorted by
        these parts as bytes, whatever the file system and the locale.
      labels: (n,) int32, the class of each.
      left_out: entries that are not image files: name and reason.
    """

    class_names: tuple[str, ...]
    names: Names
    labels: np.ndarray
    left_out: list[tuple[bytes, str]]


def shown(name: bytes) -> str:
    r"""Escapes what cannot be printed in one line, and backslashes: different names stay different.

    Bytes that are not UTF-8 become `\xe9`, characters `\n` or `\u2028`.
    """
    text = name.decode(errors="surrogateescape")
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_shown_character, text))


def _shown_character(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # A byte that is not UTF-8.
        return f"\\x{code - 0xDC00:02x}"
    if 0x80 <= code <= 0xFF and not character.isprintable():  # Python would show it like a byte.
        return f"\\u{code:04x}"
    printable = character.isprintable() and character != "\\"
    return character if printable else repr(character)[1:-1]


def list_folder(root: str) -> Listing:
    """Lists a folder with one sub-folder per class, or directly with images (one class).

    Hidden files and folders, and files that systems leave, are ignored. Links are followed, but no
    folder is entered twice for the same class, so that circular links end.

    Raises:
      UserError: images next to class folders, no images, or a folder that cannot be listed.
    """
    path = os.fsencode(os.path.abspath(root))
    left_out: list[tuple[bytes, str]] = []
    try:
        members = _children(path, b"", left_out)
        loose = [name for name in members if not name.endswith(b"/") and _is_image(name, left_out)]
        folders = [name for name in members if name.endswith(b"/")]
        # A link to the folder itself is not a class. A folder that may not be entered, but only be
        # listed, is noticed here.
        itself = _identity(path)
        folders = [name for name in folders if not _is_entered(path, name, {itself}, left_out)]
    except OSError as error:
        raise UserError(_not_listed(path, error)) from error
    if folders and loose:
        raise UserError(
            f"{root} has images next to class folders (such as {shown(loose[0])}); "
            "put every image into a class folder, or use no class folders."
        )
    if not folders and not loose:
        raise UserError(f"{root} holds no images ({', '.join(sorted(EXTENSIONS))}).")
    if loose:
        name = shown(os.path.basename(os.path.realpath(path)))
        return Listing((name,), Names.of(loose), np.zeros(len(loose), np.int32), left_out)
    counts: list[int] = []

    def walk_all() -> Iterator[bytes]:
        for folder in folders:
            count = 0
            for name in _walk(path, folder, left_out):
                count += 1
                yield name
            counts.append(count)

    names = Names.of(walk_all())
    labels = np.repeat(np.arange(len(folders), dtype=np.int32), counts)
    return Listing(tuple(shown(name[:-1]) for name in folders), names, labels, left_out)


def listing_fault(path: bytes) -> str:
    """Returns what keeps the folders in a folder from being listed, and a cure; '' for nothing.

    A folder that does not exist has no fault.
    """
    folder = path
    try:
        for name in _children(path, b"", []):
            if name.endswith(b"/"):
                folder, inner = path, os.path.join(path, name)
                _identity(inner)  # An error if `path` may be listed, but not entered.
                folder = inner
                _children(folder, b"", [])
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return _not_listed(folder, error)
    return ""


def _not_listed(folder: bytes, error: OSError) -> str:
    name = shown(folder)
    return (
        f"{name} cannot be listed: {error.strerror}; check its disk and its permissions "
        f"(`chmod u+rx {name}`)."
    )


def sub_folders(path: bytes) -> list[bytes]:
    """Returns the names of the folders directly in a folder; none if it cannot be listed."""
    try:
        return [name[:-1] for name in _children(path, b"", []) if name.endswith(b"/")]
    except OSError:
        return []


def holds_images(path: bytes, folder: bytes) -> bool:
    """Whether an image is at any depth below `path/folder`."""
    return next(_walk(path, folder + b"/", []), None) is not None


def holds_loose_images(path: bytes) -> bool:
    """Whether an image is directly in a folder."""
    return any(not n.endswith(b"/") and _is_image(n, []) for n in _children(path, b"", []))


def _walk(root: bytes, folder: bytes, left_out) -> Iterator[bytes]:
    """Yields the image files below a folder, relative to the root, ordered by their parts."""
    entered = {_identity(root)}
    pending = [folder]
    while pending:
        name = pending.pop()
        if not name.endswith(b"/"):
            if _is_image(name, left_out):
                yield name
            continue
        try:
            if not _is_entered(root, name, entered, left_out):
                pending += reversed(_children(root, name, left_out))
        except OSError as error:
            left_out.append((name, f"cannot be listed: {error.strerror}"))


def _children(root: bytes, folder: bytes, left_out) -> list[bytes]:
    """Lists the files and folders (ending in '/') directly in a folder, sorted by name."""
    names, folders = [], set()
    with os.scandir(os.path.join(root, folder)) as entries:
        for entry in entries:
            if entry.name.startswith(b".") or entry.name.lower() in _LEFTOVERS:
                continue
            kind = _kind(entry)
            if kind in ("file", "folder"):
                names.append(entry.name)
            else:
                left_out.append((folder + entry.name, kind))
            if kind == "folder":
                folders.add(entry.name)
    names.sort()
    return [folder + name + (b"/" if name in folders else b"") for name in names]


def _kind(entry: os.DirEntry) -> str:
    """Returns 'file', 'folder', or why an entry is neither."""
    try:
        if entry.is_file():
            return "file"
        if entry.is_dir():
            return "folder"
        return "a link to nothing" if entry.is_symlink() else "neither a file nor a folder"
    except OSError as error:  # A link to itself, or to a place without permission.
        return f"cannot be followed: {error.strerror}"


def _is_image(name: bytes, left_out) -> bool:
    extension = os.path.splitext(name)[1].lower()
    if extension in _EXTENSIONS:
        return True
    heic = extension in _HEIC
    left_out.append((name, "HEIC; convert it to JPEG" if heic else "not an image by its name"))
    return False


def _identity(folder: bytes) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _is_entered(root: bytes, folder: bytes, entered: set, left_out) -> bool:
    """Whether a folder was entered before, with a message; records it otherwise."""
    identity = _identity(os.path.join(root, folder))
    if identity in entered:
        left_out.append((folder, "a link to a folder that was already read"))
        return True
    entered.add(identity)
    return False
