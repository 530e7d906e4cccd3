"""The real images and the feature space of `vpt_gen.evaluate`."""

import dataclasses
import os

from absl import flags
from ml_collections import ConfigDict

from vpt_gen.checkpoints import arrival
from vpt_gen.checkpoints.backbone import TOKENIZERS, load_net
from vpt_gen.config.check import check_config
from vpt_gen.data import duplicates, sampled
from vpt_gen.data.batches import image_spec, open_sources
from vpt_gen.data.folders.opening import open_folder
from vpt_gen.data.source import Source
from vpt_gen.errors import UserError
from vpt_gen.evaluation import spaces
from vpt_gen.evaluation.features import FeatureSpace
from vpt_gen.evaluation.image_sets import (
    ImageSet,
    judge_images,
    real_images,
    real_sets,
    with_trained,
)
from vpt_gen.machine.progress import say
from vpt_gen.runs.measured import measuring_tokenizer
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
        return *_open_folders(run), None
    config = FLAGS.config
    if config is None:
        assert run is not None  # `check_flags` requires one of them.
        if run.merged:
            raise UserError(
                f"{run.workdir} holds several runs, each with its own data: give the data to "
                "compare with by --reference or --config."
            )
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
    reference, train = real_sets(config, *sources)
    if run and FLAGS.config is not None and (trained := _trained_on(run)):
        reference = with_trained(reference, trained)
        train = real_images(trained, "training images", "all of the run", image_spec(config.data))
    return reference, train, judge


def _open_folders(run: TunedRun | None) -> tuple[ImageSet, ImageSet | None]:
    """Opens --reference and --train."""
    spec = image_spec(run.config.data) if run else None
    source = open_folder(FLAGS.reference)
    reference = real_images(source, "reference images", "all", spec)
    if not FLAGS.train:
        trained = _trained_on(run) if run else None
        if told := duplicates.sentence(duplicates.count(source, None), source.name):
            say(told)
        return with_trained(reference, trained), None
    trained = open_folder(FLAGS.train)
    train = real_images(trained, "training images", "all", spec)
    if reference.digest == train.digest:
        raise UserError("--train and --reference hold the same images; leave --train out.")
    if told := duplicates.sentence(duplicates.count(trained, source), "--train and --reference"):
        say(told)
    return with_trained(reference, trained), train


def _trained_on(run: TunedRun) -> Source | None:
    """Opens the images that a run was trained on, to see which others are among them."""
    if run.merged:
        return None
    try:
        train, _ = open_sources(run.config)
        if train.digest != run.facts["data"]:
            raise UserError(f"{train.name} has changed since then; restore it.")
    except UserError as error:
        say(f"Whether the run was trained on the images to compare with is not known: {error}")
        return None
    return train


def open_folder_set(path: str) -> ImageSet:
    """Opens the images of a folder, unchanged, to measure them."""
    source = open_folder(path)
    if told := duplicates.sentence(duplicates.count(source, None), source.name):
        say(told)
    images = real_images(source, "images", "all", None)
    record = images.record
    if note := sampled.read(os.path.expanduser(path)):
        verified = note.digests is not None
        record = {**record, "generation": dict(note.record), "verified": verified}
    return dataclasses.replace(images, record=record, digest="")  # Only real images are cached.


def choose_features(run: TunedRun | None) -> str:
    """Returns the name of the feature space where --features gives none."""
    tokenizer = _named_tokenizer(run.config if run else FLAGS.config)
    return spaces.choose_space(FLAGS.weights_dir, tokenizer)


def _named_tokenizer(config: ConfigDict | None) -> str:
    """Returns the tokenizer in whose features a config's images can be measured; '' for none."""
    if config is None or "backbone" not in config:
        return ""
    chosen: str = config.get("evaluation", {}).get("tokenizer")
    return chosen or arrival.chosen(config.backbone)["tokenizer"]


def open_features(name: str, run: TunedRun | None) -> FeatureSpace:
    """Opens a feature space; the tokenizer is that of the run or, if it exists, of the config."""
    if name == "tokenizer" and run:
        tokenizer = measuring_tokenizer(run.config, run.tokenizer)
        return spaces.open_space(name, "", tokenizer, run.config.data.image_size)
    if name == "tokenizer" and (net := _named_tokenizer(FLAGS.config)):
        try:
            tokenizer = load_net(arrival.directory(net), *TOKENIZERS)
            return spaces.open_space(name, "", tokenizer, FLAGS.config.data.image_size)
        except UserError as error:
            say(f"{error} Using the shipped tokenizer for features instead.")
    return spaces.open_space(name, FLAGS.weights_dir)
