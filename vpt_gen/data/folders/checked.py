"""Checks which files of a folder decode, and computes their digests; remembers the results."""

import collections
import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL

from vpt_gen.data.folders.listing import Names
from vpt_gen.data.source import content_key
from vpt_gen.images import codec as images
from vpt_gen.images.reasons import why
from vpt_gen.machine import kept_arrays
from vpt_gen.machine.files import cache_folder
from vpt_gen.machine.progress import track

MAX_BYTES = 2**30
_DIGEST_BYTES = hashlib.sha256().digest_size
# A file that changed less than this before the check could change again unnoticed: clocks of file
# systems may tick only every two seconds.
_SETTLED_NS = 2_000_000_000
_SAVE_EVERY_S = 60.0
_QUICKLY_LOOKED_AT = 10_000  # files; no progress is shown
_UNKNOWN = -1
_WHAT = "results of checking images"
# Besides the file, this decides whether it can be read.
_RULES = f"{images.DECODER} Pillow {PIL.__version__}"


@dataclasses.dataclass(frozen=True)
class Checked:
    """Known results for n files.

    Attributes:
      stamps: (n, 3) int64, size and times of change (of content and of anything; ns) of each file
        when it was checked; _UNKNOWN if it was not, or if the result may change.
      digests: (n, 32) uint8, SHA-256 of the content of each file that decodes.
      pixels: (n,) uint64, `content_key` of each image.
      errors: number of a file -> why it cannot be read.
      remarks: number of a file that can be read -> what is unexpected about it.
    """

    stamps: np.ndarray
    digests: np.ndarray
    pixels: np.ndarray
    errors: dict[int, str]
    remarks: dict[int, str]

    @classmethod
    def nothing(cls, n: int) -> "Checked":
        """Returns results of which nothing is known yet."""
        digests, pixels = np.zeros((n, _DIGEST_BYTES), np.uint8), np.zeros(n, np.uint64)
        return cls(np.full((n, 3), _UNKNOWN, np.int64), digests, pixels, {}, {})


def index_path(root: str) -> pathlib.Path:
    """Returns the path of a folder's results."""
    key = hashlib.sha256(os.fsencode(os.path.abspath(root))).hexdigest()[:16]
    return cache_folder() / "folders" / f"{key}.npz"


def read_file(path: bytes) -> bytes:
    """Reads a file; raises OSError also if it is too large for memory."""
    if os.stat(path).st_size > MAX_BYTES:
        raise OSError(f"larger than {MAX_BYTES >> 30} GiB")
    with open(path, "rb") as file:
        return file.read()


def check(root: str, names: Names, wanted: np.ndarray) -> Checked:
    """Decodes every file that is new or has changed since it was last checked.

    Results are saved at intervals, and also when Ctrl-C ends the check.

    Args:
      root: the folder.
      names: of its files.
      wanted: numbers of the files to check, ascending; the results are only valid for these.
    """
    folder = os.path.join(os.fsencode(os.path.abspath(root)), b"")
    index = index_path(root)
    known = _load(index, names)
    looked = time.time_ns()
    looks = _in_threads(lambda i: _stamp(folder + names[i]), wanted)
    if len(wanted) > _QUICKLY_LOOKED_AT:
        looks = track(looks, total=len(wanted), label="looking at files")
    stamps = np.fromiter(looks, np.dtype((np.int64, 3)), count=len(wanted))
    changed = (stamps != known.stamps[wanted]).any(axis=1) | (stamps == _UNKNOWN).all(axis=1)
    if not changed.any():
        return known
    todo, stamps = wanted[changed], stamps[changed]
    known.stamps[todo] = _UNKNOWN
    settled = looked - stamps[:, 1:].max(axis=1) > _SETTLED_NS
    saved = time.monotonic()
    try:
        results = _in_threads(lambda i: _examine(folder + names[i]), todo)
        results = track(results, total=len(todo), label="checking images")
        for j, (digest, pixels, error, for_good, remark) in enumerate(results):
            i = int(todo[j])
            for texts, text in ((known.errors, error), (known.remarks, remark)):
                texts.pop(i, None)
                if text:
                    texts[i] = text
            if digest:
                known.digests[i] = np.frombuffer(digest, np.uint8)
                known.pixels[i] = pixels
            if for_good and settled[j]:
                known.stamps[i] = stamps[j]
            if time.monotonic() - saved > _SAVE_EVERY_S:
                _save(index, names, known)
                saved = time.monotonic()
    finally:
        _save(index, names, known)
    return known


def _stamp(path: bytes) -> tuple[int, int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return _UNKNOWN, _UNKNOWN, _UNKNOWN
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _examine(path: bytes) -> tuple[bytes, int, str, bool, str]:
    """Looks into a file.

    Returns:
      Its digest, the key of its pixels, why it cannot be read, whether its content is why, and a
      remark. The texts are '' if there is nothing to say.
    """
    try:
        content = read_file(path)
    except (OSError, MemoryError) as error:
        return b"", 0, f"cannot be read: {getattr(error, 'strerror', None) or error}", False, ""
    if not content:
        return b"", 0, "empty", True, ""
    try:
        # An image that is white by intention has no transparent parts.
        image = images.decode(content)
        white = image.min() == 255 and images.is_transparent(content)
    except MemoryError:
        return b"", 0, "cannot be read: out of memory", False, ""
    except Exception as error:  # Pillow raises many kinds of errors for damaged files.
        return b"", 0, f"cannot be read: {why(error)}", True, ""
    remark = "wholly white, because transparent parts go on white" if white else ""
    return hashlib.sha256(content).digest(), content_key(image), "", True, remark


def _in_threads(task: Callable, items: Iterable[int]) -> Iterator:
    """Yields task(item) for each item, in order, with a bounded number in progress."""
    workers, chunk = min(32, (os.cpu_count() or 1) + 4), 16
    numbers = iter(items)
    chunks = iter(lambda: list(itertools.islice(numbers, chunk)), [])
    pending: collections.deque = collections.deque()
    pool = ThreadPoolExecutor(workers)
    try:
        while True:
            for part in itertools.islice(chunks, 4 * workers - len(pending)):
                pending.append(pool.submit(lambda part: [task(i) for i in part], part))
            if not pending:
                return
            yield from pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _load(index: pathlib.Path, names: Names) -> Checked:
    """Looks these files up in an index, which may have been made for others."""
    known = Checked.nothing(len(names))
    kept = kept_arrays.load(index, _WHAT, _parsed)
    if kept is None:
        return known
    then, found = kept
    if then.blob == names.blob and np.array_equal(then.ends, names.ends):
        return found
    numbers = {name: i for i, name in enumerate(then)}
    pairs = [(i, numbers[name]) for i, name in enumerate(names) if name in numbers]
    if pairs:
        here, there = np.array(pairs).T
        known.stamps[here], known.digests[here] = found.stamps[there], found.digests[there]
        known.pixels[here] = found.pixels[there]
        known.errors.update({i: found.errors[j] for i, j in pairs if j in found.errors})
        known.remarks.update({i: found.remarks[j] for i, j in pairs if j in found.remarks})
    return known


def _parsed(arrays: dict[str, np.ndarray]) -> tuple[Names, Checked] | None:
    """Returns the checked files and their results; None for those of another version."""
    if str(arrays["rules"]) != _RULES or "remarks" not in arrays:
        return None
    names = Names(arrays["blob"].tobytes(), arrays["ends"])
    found = Checked(
        arrays["stamps"],
        arrays["digests"],
        arrays["pixels"],
        _from_json(arrays["errors"]),
        _from_json(arrays["remarks"]),
    )
    n = len(names)
    shapes = found.stamps.shape, found.digests.shape, found.pixels.shape
    if shapes != ((n, 3), (n, _DIGEST_BYTES), (n,)):
        raise ValueError("its arrays have other lengths than its names")
    return names, found


def _from_json(array: np.ndarray) -> dict[int, str]:
    return {int(i): text for i, text in json.loads(array.tobytes()).items()}


def _to_json(texts: dict[int, str]) -> np.ndarray:
    return np.frombuffer(json.dumps(texts).encode(), np.uint8)


def _save(index: pathlib.Path, names: Names, known: Checked) -> None:
    arrays = {
        "rules": np.array(_RULES),
        "blob": np.frombuffer(names.blob, np.uint8),
        "ends": names.ends,
        "stamps": known.stamps,
        "digests": known.digests,
        "pixels": known.pixels,
        "errors": _to_json(known.errors),
        "remarks": _to_json(known.remarks),
    }
    kept_arrays.save(index, arrays, f"Cannot remember which images were checked in {index}")
