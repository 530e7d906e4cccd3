"""The real images and the feature space of `vpt_gen.evaluate`."""

import dataclasses
import os

from absl import flags

from vpt_gen.checkpoints.backbone import TOKENIZERS, load_net
from vpt_gen.config.check import check_config
from vpt_gen.data import sampled
from vpt_gen.data.batches import image_spec, open_sources
from vpt_gen.data.folders.opening import open_folder
from vpt_gen.errors import UserError
from vpt_gen.evaluation import spaces
from vpt_gen.evaluation.features import FeatureSpace
from vpt_gen.evaluation.image_sets import ImageSet, judge_images, real_images, real_sets
from vpt_gen.machine.progress import say
from vpt_gen.runs.opened import TunedRun

FLAGS = flags.FLAGS


def open_real_sets(run: TunedRun | None) -> tuple[ImageSet, ImageSet | None, ImageSet | None]:
    """Returns the reference, the training images if known, and those for the classifier.

    Args:
      run: the measured run, or None.

    Raises:
      UserError: data other than those of the run's training, or of another size.
    """
    if FLAGS.reference:
        spec = image_spec(run.config.data) if run else None
        reference = real_images(open_folder(FLAGS.reference), "reference images", "all", spec)
        train = None
        if FLAGS.train:
            train = real_images(open_folder(FLAGS.train), "training images", "all", spec)
        if train and reference.digest == train.digest:
            raise UserError("--train and --reference hold the same images; leave --train out.")
        return reference, train, None
    config = FLAGS.config
    if config is None:
        assert run is not None  # `check_flags` requires one of them.
        config = run.config
    check_config(config)
    sources = open_sources(config)
    if run and FLAGS.config is None and sources[0].digest != run.facts["data"]:
        raise UserError(
            f"The training images of {run.workdir} have changed since its training: give the data "
            "to compare with by --config or --reference."
        )
    if run and config.data.image_size != run.config.data.image_size:
        size = run.config.data.image_size
        raise UserError(
            f"{run.workdir} makes images of {size} pixels: add --config.data.image_size={size}."
        )
    judge = judge_images(config) if "evaluation" in config else None
    return *real_sets(config, *sources), judge


def open_folder_set(path: str) -> ImageSet:
    """Opens the images of a folder, unchanged, to measure them."""
    images = real_images(open_folder(path), "images", "all", None)
    record = images.record
    if note := sampled.read(os.path.expanduser(path)):
        verified = note.digests is not None
        record = {**record, "generation": dict(note.record), "verified": verified}
    return dataclasses.replace(images, record=record, digest="")  # Only real images are cached.


def open_features(name: str, run: TunedRun | None) -> FeatureSpace:
    """Opens a feature space; the tokenizer is the run's, or the config's if it exists."""
    if name == "tokenizer" and run:
        return spaces.open_space(name, "", run.tokenizer, run.config.data.image_size)
    if name == "tokenizer" and FLAGS.config is not None and "backbone" in FLAGS.config:
        try:
            tokenizer = load_net(FLAGS.config.backbone.tokenizer, *TOKENIZERS)
            return spaces.open_space(name, "", tokenizer, FLAGS.config.data.image_size)
        except UserError as error:
            say(f"{error} Using the shipped tokenizer for features instead.")
    return spaces.open_space(name, FLAGS.weights_dir)
