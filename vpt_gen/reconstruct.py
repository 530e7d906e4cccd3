"""`python -m vpt_gen.reconstruct --images=my_images`: checks a tokenizer on your images.

Shows the best reconstruction that the tokenizer can give: generated images cannot be better, so
check this before tuning to images of another kind. Writes the images with their reconstructions,
and figures: how much of the codebook they use, the error per pixel, and the distances of
vpt_gen.evaluate, with the floor of real images.
"""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
from absl import flags

from vpt_gen import cli
from vpt_gen.checkpoints.shipped import PHOTOS
from vpt_gen.config import flag
from vpt_gen.errors import UserError
from vpt_gen.evaluation import spaces
from vpt_gen.images import grids
from vpt_gen.machine import later, lock
from vpt_gen.machine.number_flags import define_number
from vpt_gen.machine.progress import say
from vpt_gen.ranges import Count, Seed, Several, Side

with later.imports(globals()):
    from vpt_gen.checkpoints import arrival, inception
    from vpt_gen.checkpoints.backbone import TOKENIZERS, PretrainedNet, load_net
    from vpt_gen.checkpoints.released.published import BACKBONES
    from vpt_gen.config.check import check_config
    from vpt_gen.data.batches import evaluation_name, open_sources
    from vpt_gen.data.folders.opening import open_folder
    from vpt_gen.data.pipeline import ImageSpec
    from vpt_gen.data.source import Source
    from vpt_gen.evaluation import reconstructed, report
    from vpt_gen.evaluation.features import Extractor, FeatureSpace
    from vpt_gen.evaluation.fidelity import fidelity, pairs_picture
    from vpt_gen.evaluation.image_sets import in_memory, real_images
    from vpt_gen.evaluation.measure import measure
    from vpt_gen.evaluation.yardstick import Yardstick
    from vpt_gen.machine import sharding
    from vpt_gen.runs.compatibility import check_image_size

FLAGS = flags.FLAGS
_BATCH = 16


def open_images() -> tuple[Source, str, ImageSpec | None]:
    """Opens the images of the command line; returns them, their name, and their preprocessing.

    The preprocessing of a folder depends on the tokenizer, and is None.

    Raises:
      UserError: both or neither of folder and config, or images that cannot be opened.
    """
    if bool(FLAGS.images) == (FLAGS.config is not None):
        raise UserError("Give either --images=<folder> or --config=<file>; see --help.")
    if FLAGS.images:
        return open_folder(FLAGS.images), "real images", None
    check_config(FLAGS.config)
    train, held_out = open_sources(FLAGS.config)
    data = FLAGS.config.data
    name = evaluation_name(data) if held_out else "training images"
    return held_out or train, name, ImageSpec(data.image_size, data.fit)


def own_size(tokenizer: PretrainedNet, path: str) -> int:
    """Returns the side in pixels of the images that a tokenizer was trained on.

    Raises:
      UserError: neither its record nor its name says so.
    """
    trained = tokenizer.about.get("config", {}).get("data", {}).get("image_size", 0)
    published = [of.image_size for of in BACKBONES.values() if of.tokenizer == path]
    if not (trained or published):
        raise UserError(f"{path} does not say of which size its images were: give --image_size.")
    return int(trained or min(published))


def define_flags() -> None:
    """Defines the flags; not at import, so that programs can share a process."""
    flags.DEFINE_string(
        "tokenizer", f"{PHOTOS}/tokenizer", "Folder of a net, or name of a published one."
    )
    flags.DEFINE_string("images", None, "A folder of images, one sub-folder per class, or flat.")
    flag.define(
        "Instead of --images: a file of configs/, for the held-out part of its data, or for all if "
        "nothing is held out."
    )
    define_number(
        "image_size",
        None,
        Side,
        "With --images: side of the squares; by default that of the tokenizer's training.",
    )
    flags.DEFINE_enum("fit", "pad", ["crop", "pad", "stretch"], "How --images are made square.")
    define_number("num", 1000, Several, "Maximal number of images, evenly over all.")
    define_number("columns", 10, Count, "Images of a class in the picture.")
    define_number("seed", 0, Seed, "Seed of the halves for the floor.")
    flags.DEFINE_string("weights_dir", "weights", "Folder of published weights, for FID.")
    flags.DEFINE_string("output", "reconstructions", "Folder to write to.")


def open_space() -> FeatureSpace:
    """Opens another net's features if possible: a tokenizer does not see its own errors."""
    cure = f"Put {inception.ADDRESS} into that folder for FID."
    chosen = spaces.choose_space(FLAGS.weights_dir, FLAGS.tokenizer, cure)
    return spaces.open_space(chosen, FLAGS.weights_dir)


def main():
    """Runs the program; its flags are parsed."""
    with lock.held(FLAGS.output, "--output"):
        reconstruct()


def reconstruct() -> None:
    """Reconstructs images and measures the result, in a folder that no other program writes to."""
    folder, picture = pathlib.Path(FLAGS.output), "pairs.png"
    manifest = report.open_manifest(folder, [picture])
    source, name, spec = open_images()
    mesh = sharding.make_mesh()
    tokenizer = load_net(arrival.directory(FLAGS.tokenizer), *TOKENIZERS, mesh=mesh)
    spec = spec or ImageSpec(FLAGS.image_size or own_size(tokenizer, FLAGS.tokenizer), FLAGS.fit)
    check_image_size(tokenizer.net, spec.size)
    if len(source) > FLAGS.num:
        source = source.subset(np.linspace(0, len(source) - 1, FLAGS.num).astype(int))
    images = real_images(source, name, "all", spec)
    pairs = reconstructed.reconstruct(tokenizer, images, _BATCH, mesh)
    near = fidelity(pairs, tokenizer.net.codebook_size)
    space = open_space()
    yardstick = Yardstick(Extractor(space, mesh), images, None, FLAGS.seed, None)
    made = reconstructed.given_back(images, in_memory(pairs.made))
    found, _ = measure(yardstick, made)
    shared = report.protocol(yardstick, made, cli.command("vpt_gen.reconstruct"))
    record = {**dataclasses.asdict(near), **report.make_record(found, shared)}
    manifest.begin()
    manifest.write({picture: grids.as_png(pairs_picture(pairs, images, FLAGS.columns))})
    manifest.finish(record)
    say(report.table(record))
    say(near.table(tokenizer.net.codebook_size))
    say(f"\nPicture: {folder / picture}; figures: {folder / report.METRICS}")


if __name__ == "__main__":
    cli.run(main, define_flags, needs_config=False)
