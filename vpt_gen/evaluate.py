"""`python -m vpt_gen.evaluate --checkpoint=runs/demo`: generated images against real ones.

What is measured is drawn from a run of a method, or lies in a folder (--images). It is compared
with the data of a config, by default the run's own, or with a folder (--reference). Prints a table
and writes `metrics.json`, in which each figure carries all that fixes it. Same command, same
numbers.

Features of real images are kept in $VPT_GEN_CACHE (by default ~/.cache/vpt_gen), under `features/`.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import flags
from etils import epath

from vpt_gen import cli
from vpt_gen.checkpoints.backbone import TOKENIZERS, load_net
from vpt_gen.config import flag
from vpt_gen.config.check import check_config
from vpt_gen.data import sampled
from vpt_gen.data.batches import image_spec, open_sources
from vpt_gen.data.folders.opening import open_folder
from vpt_gen.errors import UserError
from vpt_gen.evaluation import report, spaces
from vpt_gen.evaluation.features import Extractor, FeatureSpace
from vpt_gen.evaluation.image_sets import (
    ImageSet,
    judge_images,
    real_images,
    real_sets,
    tapped,
)
from vpt_gen.evaluation.perceptual_diversity import find_perceptual
from vpt_gen.evaluation.yardstick import Yardstick
from vpt_gen.images import grids
from vpt_gen.machine import sharding
from vpt_gen.machine.files import write_text
from vpt_gen.machine.progress import say
from vpt_gen.runs import request
from vpt_gen.runs.generation import (
    even_class_ids,
    instances_of,
    proportional_class_ids,
)
from vpt_gen.runs.opened import TunedRun

FLAGS = flags.FLAGS
MAX_NUM = 10_000
_FOR_CHECKPOINTS: tuple[str, ...] = ("num", "class_counts", "step", "set", "marquee", "headers")
_FOR_CHECKPOINTS += ("cutoff", "transformer", "tokenizer")


def check_flags() -> None:
    """Raises UserError where flags do not go together."""
    if bool(FLAGS.checkpoint) == bool(FLAGS.images):
        raise UserError("Give either --checkpoint=<workdir> or --images=<folder>; see --help.")
    if FLAGS.config is not None and FLAGS.reference:
        raise UserError("Give either --config or --reference: both say what to compare with.")
    if FLAGS.images and FLAGS.config is None and not FLAGS.reference:
        raise UserError("Say what to compare with: --reference=<folder> or --config=<config>.")
    if FLAGS.train and not FLAGS.reference:
        raise UserError("--train goes with --reference; a config names its own training images.")
    for name in _FOR_CHECKPOINTS if FLAGS.images else ():
        if FLAGS[name].present:
            raise UserError(f"--{name} says how to draw from a --checkpoint; leave it out here.")
    for name in ("images", "reference", "train"):
        folder = FLAGS[name].value
        if folder and not os.path.isdir(os.path.expanduser(folder)):
            raise UserError(f"--{name}: the folder {folder!r} does not exist.")


def open_real_sets(run: TunedRun | None) -> tuple[ImageSet, ImageSet | None, ImageSet | None]:
    """The reference, the training images where they are known, and those that judge.

    Args:
      run: that is measured, or None.

    Raises:
      UserError: data that are not what the run was tuned on, or of another size.
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
        assert run is not None  # `check_flags` wants one of them.
        config = run.config
    check_config(config)
    sources = open_sources(config)
    if run and FLAGS.config is None and sources[0].digest != run.facts["data"]:
        raise UserError(
            f"The training images of {run.workdir} are not those that it was tuned on any more: "
            "say what to compare with, by --config or --reference."
        )
    if run and config.data.image_size != run.config.data.image_size:
        size = run.config.data.image_size
        raise UserError(
            f"{run.workdir} makes images of {size} pixels: add --config.data.image_size={size}."
        )
    judge = judge_images(config) if "evaluation" in config else None
    return *real_sets(config, *sources), judge


def open_folder_set(path: str) -> ImageSet:
    """The images of a folder, as they are, to be measured."""
    images = real_images(open_folder(path), "images", "all", None)
    record = images.record
    if note := sampled.read(os.path.expanduser(path)):
        record = {**record, "generation": note[1]}
    return dataclasses.replace(images, record=record, digest="")  # Only real images are kept.


def draw_from_run(run: TunedRun, reference: ImageSet) -> ImageSet:
    """The images to draw from a run, with classes as the command line says."""
    num, class_names = FLAGS.num or min(len(reference), MAX_NUM), run.facts["class_names"]
    counts = np.bincount(reference.labels, minlength=len(reference.class_names))
    wanted = {name: n for name, n in zip(reference.class_names, counts.tolist(), strict=True) if n}
    how = FLAGS.class_counts or _class_counts(class_names, wanted)
    if how == "even":
        class_ids = even_class_ids(num, len(class_names))
    elif unknown := wanted.keys() - set(class_names):
        raise UserError(
            f"--class_counts=reference: {min(unknown)!r} of the {reference.name} is no class of "
            "the run; use --class_counts=even."
        )
    else:
        class_ids = proportional_class_ids(num, [wanted.get(name, 0) for name in class_names])
    instances: list[int] = []
    starts = FLAGS.marquee == "instance_to_class" and not FLAGS.headers
    if "instance_labels" in run.facts and (starts or not run.token_sampler.method.num_classes):
        instances = instances_of(class_ids, run.facts["instance_labels"]).tolist()
    generation = request.flagged_generation(run, class_ids.tolist(), instances)
    return generation.image_set(class_counts=how)


def _class_counts(class_names: list[str], wanted: Mapping[str, int]) -> str:
    if wanted.keys() <= set(class_names):
        return "reference"
    say("The reference has other classes than the run: images are drawn evenly over the run's.")
    return "even"


def open_features(name: str, run: TunedRun | None) -> FeatureSpace:
    """A feature space; the tokenizer's is that of the run, or of the config if it is at hand."""
    if name == "tokenizer" and run:
        return spaces.open_space(name, "", run.tokenizer, run.config.data.image_size)
    if name == "tokenizer" and FLAGS.config is not None and "backbone" in FLAGS.config:
        try:
            tokenizer = load_net(FLAGS.config.backbone.tokenizer, *TOKENIZERS)
            return spaces.open_space(name, "", tokenizer, FLAGS.config.data.image_size)
        except UserError as error:
            say(f"{error} The shipped tokenizer makes the features instead.")
    return spaces.open_space(name, FLAGS.weights_dir)


def output_folder() -> epath.Path | pathlib.Path:
    """Where `metrics.json` goes."""
    if FLAGS.output:
        return epath.Path(FLAGS.output).expanduser()
    if FLAGS.checkpoint:
        return epath.Path(FLAGS.checkpoint) / "evaluation"
    folder = pathlib.Path(FLAGS.images).expanduser().absolute()
    return folder.with_name(f"{folder.name}_evaluation")


def define_flags() -> None:
    """The command line; not at import, so that programs can share a process."""
    flags.DEFINE_string("checkpoint", None, "Workdir of a run of a method, to draw images from.")
    flags.DEFINE_string(
        "images",
        None,
        "A folder of generated images instead: flat, one sub-folder a class, or as vpt_gen.sample "
        "wrote it.",
    )
    flag.define(
        "A file of configs/ whose data to compare with, by default the run's own; its fields are "
        "set as --config.data.path=my_images."
    )
    flags.DEFINE_string(
        "reference",
        None,
        "A folder of real images to compare with, instead of a config's held-out ones.",
    )
    flags.DEFINE_string(
        "train",
        None,
        "With --reference: a folder of the images that the generator was trained on.",
    )
    flags.DEFINE_integer(
        "num",
        None,
        f"Images to draw; by default as many as the reference has, at most {MAX_NUM:,}.",
        lower_bound=1,
    )
    flags.DEFINE_enum(
        "class_counts",
        None,
        ["reference", "even"],
        "Draw classes in the proportions of the reference (the default, where the run knows its "
        "classes), or evenly.",
    )
    request.define_generation_flags()
    flags.DEFINE_enum(
        "features",
        None,
        list(spaces.NAMES),
        "Feature space: inception gives FID and its kin, and its weights are fetched where "
        "--weights_dir lacks them; tokenizer needs no download. By default inception where its "
        "weights are at hand.",
    )
    flags.DEFINE_string("weights_dir", "weights", "Folder of published weights.")
    flags.DEFINE_integer("batch_size", 64, "Images in the feature net at a time.", lower_bound=1)
    flags.DEFINE_string(
        "output",
        None,
        "Folder for metrics.json; by default <checkpoint>/evaluation or <images>_evaluation.",
    )


def main():
    """Runs the program; its flags are parsed."""
    check_flags()
    run = request.open_flagged_run() if FLAGS.checkpoint else None
    reference, train, judge = open_real_sets(run)
    generated = draw_from_run(run, reference) if run else open_folder_set(FLAGS.images)
    features = FLAGS.features or spaces.choose_space(FLAGS.weights_dir)
    extractor = Extractor(open_features(features, run), sharding.make_mesh(), FLAGS.batch_size)
    yardstick = Yardstick(
        extractor, reference, train, FLAGS.seed, find_perceptual(FLAGS.weights_dir), judge
    )
    settled: dict[str, Any] = {"features": features, "seed": FLAGS.seed}
    if run:
        settled |= {"step": run.step, "num": len(generated)}
        settled["class_counts"] = generated.record["class_counts"]
    shown = grids.in_strip(generated.labels)
    pictures: list[np.ndarray] = []
    found, _ = yardstick.measure(
        dataclasses.replace(generated, stream=lambda: tapped(generated.stream(), shown, pictures))
    )
    record = report.make_record(
        found, report.protocol(yardstick, generated, cli.command("vpt_gen.evaluate", settled))
    )
    path = output_folder() / "metrics.json"
    if run:
        images = np.stack(pictures) / np.float32(255.0)
        grids.save_strip(output_folder(), images, generated.labels[shown])
    write_text(path, json.dumps(record, indent=1))
    say(report.table(record))
    say(f"\nEach figure with its protocol: {path}")


if __name__ == "__main__":
    cli.run(main, define_flags, needs_config=False)
