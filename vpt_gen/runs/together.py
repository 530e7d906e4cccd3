"""Images drawn into one folder, by one process or by several together.

Each process draws whole batches of one process, so that images are the same to the last digit, and
writes each file as soon as its images are drawn. A killed job resumes at the files that are
missing, also on another number of processes.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
from etils import epath

from vpt_gen.data import shards
from vpt_gen.images import grids
from vpt_gen.machine import distributed
from vpt_gen.machine.manifest import Manifest, Share, share_of
from vpt_gen.machine.progress import say


@dataclasses.dataclass(frozen=True)
class Drawing:
    """Images to draw and to write.

    Attributes:
      names: (n,) of the images: their files, or their places in shards (`data/shards.py`).
      class_ids: (n,) their classes.
      at_a_time: images of a batch.
      stream: (n,) bool -> the images that it marks, uint8 (H, W, 3), in order and batch by batch;
        they stay in their batches.
      request: a digest of everything that determines the images.
    """

    names: Sequence[str]
    class_ids: np.ndarray
    at_a_time: int
    stream: Callable[[np.ndarray], Iterator[Sequence[np.ndarray] | np.ndarray]]
    request: str

    @property
    def files(self) -> list[str]:
        """The files of all images."""
        return list(dict.fromkeys(map(shards.file_of, self.names)))


def draw_together(
    drawing: Drawing,
    note: epath.Path,
    open_manifest: Callable[[], Manifest],
    finish: Callable[[Manifest], None],
    resume: Callable[[np.ndarray], np.ndarray] = lambda done: done,
) -> None:
    """Draws images and writes their files; all processes call this together.

    Args:
      drawing: the images.
      note: of the files.
      open_manifest: opens it in the first process, for `drawing.request`.
      finish: writes what is one file, and the note, in the first process, after all images.
      resume: which images (n,) exist -> those that need not be drawn again.

    Raises:
      UserError: a file of somebody else would be replaced; nothing is drawn or written.
    """
    manifest: Manifest | None = None
    done = np.zeros(len(drawing.names), bool)

    def begin() -> None:
        nonlocal manifest, done
        manifest = open_manifest()
        there = manifest.done
        done = resume(np.array([shards.file_of(name) in there for name in drawing.names], bool))
        manifest.begin(jax.process_count())
        if done.any():
            say(f"{done.sum()} of {len(done)} images are in {note.parent}; drawing the rest.")

    def end() -> None:
        assert manifest is not None  # `begin` made it.
        finish(manifest)

    distributed.first_does(begin)
    done = distributed.first_tells(done)
    _draw(drawing, done, manifest or share_of(note, drawing.request, jax.process_index()))
    distributed.wait_long()
    distributed.first_does(end)


def _draw(drawing: Drawing, done: np.ndarray, files: Manifest | Share) -> None:
    """Draws this process's share of the images that are not `done` (n,), and writes them."""
    # A shard is one process's. Batches on its ends may be drawn by two.
    file_of = [shards.file_of(name) for name in drawing.names]
    numbers = {file: number for number, file in enumerate(drawing.files)}
    parts = np.arange(len(done)) // drawing.at_a_time
    if len(numbers) < len(done):
        parts = np.array([numbers[file] for file in file_of])
    wanted = ~done & np.isin(parts, distributed.share_of(np.unique(parts[~done])))
    rows, sizes = np.flatnonzero(wanted), collections.Counter(file_of)
    begun: dict[str, dict[int, bytes]] = {}
    for images in drawing.stream(wanted):
        now, rows = np.split(rows, [len(images)])
        for row, content in zip(now.tolist(), _as_pngs(images), strict=True):
            begun.setdefault(file_of[row], {})[row] = content
        whole = [file for file, members in begun.items() if len(members) == sizes[file]]
        if whole:
            files.write({file: _content(drawing, file, begun.pop(file)) for file in whole})


def _as_pngs(images: Sequence[np.ndarray] | np.ndarray) -> list[bytes]:
    # Compression takes longer than drawing with small nets, and releases Python's lock.
    with ThreadPoolExecutor() as pool:
        return list(pool.map(grids.as_png, images))


def _content(drawing: Drawing, file: str, members: Mapping[int, bytes]) -> bytes:
    """Returns the content of a file with these images, number -> PNG: one, or a shard."""
    names = [drawing.names[row] for row in members]
    if names == [file]:
        return next(iter(members.values()))
    images = dict(zip(names, members.values(), strict=True))
    return shards.pack(images, drawing.class_ids[list(members)].tolist())
