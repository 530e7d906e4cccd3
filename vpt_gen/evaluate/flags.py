"""The flags of `vpt_gen.evaluate`."""

import os

from absl import flags

from vpt_gen.checkpoints.feature_spaces import FEATURE_SPACES
from vpt_gen.config import flag
from vpt_gen.errors import UserError
from vpt_gen.machine import distributed
from vpt_gen.machine.number_flags import define_number
from vpt_gen.ranges import Count
from vpt_gen.runs import request

FLAGS = flags.FLAGS
MAX_NUM = 10_000
_FOR_CHECKPOINTS: tuple[str, ...] = ("num", "class_counts", "step", "set", "marquee", "headers")
_FOR_CHECKPOINTS += ("cutoff", "transformer", "tokenizer")


def define_flags() -> None:
    """Defines the flags; not at import, so that programs can share a process."""
    flags.DEFINE_string("checkpoint", None, f"To draw images from: {request.CHECKPOINT}")
    flags.DEFINE_string(
        "images",
        None,
        "A folder of generated images instead: flat, with one sub-folder per class, or as "
        "vpt_gen.sample wrote it.",
    )
    flag.define(
        "A file of configs/ with the data to compare with, by default the run's own; fields are "
        "set as --config.data.path=my_images."
    )
    flags.DEFINE_string(
        "reference",
        None,
        "A folder of real images to compare with, instead of a config's held-out images.",
    )
    flags.DEFINE_string(
        "train",
        None,
        "With --reference: a folder of the generator's training images.",
    )
    define_number(
        "num",
        None,
        Count,
        f"Images to draw; by default as many as the reference has, at most {MAX_NUM:,}.",
    )
    flags.DEFINE_enum(
        "class_counts",
        None,
        ["reference", "even"],
        "Draw classes in the proportions of the reference (the default if the run has its "
        "classes), or evenly.",
    )
    request.define_generation_flags()
    flags.DEFINE_enum(
        "features",
        None,
        list(FEATURE_SPACES),
        "Feature space: inception gives FID, dinov2 FD-DINOv2 and clip CMMD, and their weights are "
        "fetched if --weights_dir lacks them; photos and tokenizer need no download. By default "
        "inception if its weights exist, otherwise photos, or tokenizer if it is the demo's.",
    )
    flags.DEFINE_list(
        "also",
        [],
        "Metrics that are only measured on request, separated by commas: mind, gaussian_mmd, fld, "
        "authpct, c_t, vendi, intra_lpips, or all of them.",
    )
    flags.DEFINE_string("weights_dir", "weights", "Folder of published weights.")
    define_number("batch_size", 64, Count, "Images in the feature net at a time.")
    flags.DEFINE_string(
        "output",
        None,
        "Folder for metrics.json; by default <checkpoint>/evaluation or <images>_evaluation.",
    )
    distributed.define_flags()


def check_flags() -> None:
    """Raises UserError if flags do not go together."""
    if bool(FLAGS.checkpoint) == bool(FLAGS.images):
        raise UserError("Give either --checkpoint=<workdir> or --images=<folder>; see --help.")
    if FLAGS.config is not None and FLAGS.reference:
        raise UserError("Give either --config or --reference: both are data to compare with.")
    if FLAGS.images and FLAGS.config is None and not FLAGS.reference:
        raise UserError("Give the data to compare with: --reference=<folder> or --config=<config>.")
    if FLAGS.train and not FLAGS.reference:
        raise UserError("--train needs --reference; a config has its own training images.")
    for name in _FOR_CHECKPOINTS if FLAGS.images else ():
        if FLAGS[name].present:
            raise UserError(f"--{name} only applies with --checkpoint; leave it out.")
    for name in ("images", "reference", "train"):
        folder = FLAGS[name].value
        if folder and not os.path.isdir(folder):
            raise UserError(f"--{name}: the folder {folder!r} does not exist; check the path.")
