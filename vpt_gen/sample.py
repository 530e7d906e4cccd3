"""`python -m vpt_gen.sample --checkpoint=runs/demo`: a run of a method -> images.

Writes one PNG an image, a labelled grid, and on request a picture of the order in which each
image was revealed. Same seed, same images.
"""

import collections
import sys
from typing import Any

import numpy as np
from absl import app, flags, logging
from etils import epath

from vpt_gen import host_memory
from vpt_gen.data import sampled
from vpt_gen.data.images import to_uint8
from vpt_gen.decode import marquee
from vpt_gen.decode.generate import num_stages
from vpt_gen.errors import UserError, report_user_errors
from vpt_gen.evaluation import grids
from vpt_gen.generation import Generation, plain_generation
from vpt_gen.nets.prompt_generator import NO_INSTANCE
from vpt_gen.progress import say
from vpt_gen.sampler import class_bank
from vpt_gen.tuned import TunedRun, open_run

FLAGS = flags.FLAGS


def class_numbers(wanted: list[str], class_names: list[str]) -> list[int]:
    """Class names, or their numbers -> numbers; all classes where nothing is wanted."""
    numbers = []
    for name in wanted:
        if name in class_names:
            numbers.append(class_names.index(name))
        elif name.isdecimal() and int(name) < len(class_names):
            numbers.append(int(name))
        else:
            known = ", ".join(class_names[:10]) + (", ..." if len(class_names) > 10 else "")
            raise UserError(f"Class {name!r} is unknown to the checkpoint; it has: {known}.")
    return numbers or list(range(len(class_names)))


def instance_numbers(wanted: list[str], known: int) -> list[int]:
    """Numbers of training images; UserError names one that is none."""
    for name in wanted:
        if not name.isdecimal() or int(name) >= known:
            raise UserError(
                f"--instances={name}: the prompts know training images 0 to {known - 1}."
                if known
                else "This run knows no training images: leave --instances out."
            )
    return [int(name) for name in wanted]


def marquee_weights(name: str, num_stages: int, num_headers: int, cutoff: float) -> np.ndarray:
    """The matrix W (T, M) that --marquee names, for M = `num_headers` with the image's own."""
    needs = {"constant": num_headers == 1, "instance_to_class": num_headers == 2}
    if not needs.get(name, True):
        wanted = {
            "constant": "no --headers",
            "instance_to_class": "exactly one of --headers, or --instances",
        }
        raise UserError(f"--marquee={name} takes {wanted[name]}.")
    try:
        if name == "constant":
            return marquee.constant(1)
        if name == "scroll":
            return marquee.scroll(num_stages, num_headers)
        if name == "instance_to_class":
            return marquee.instance_to_class(num_stages, cutoff)
        if not name.endswith(".npy"):
            raise UserError(
                f"--marquee={name} is not known; use constant, scroll, instance_to_class or a "
                ".npy file."
            )
        return marquee.check_weights(np.load(name), num_stages, num_headers)
    except (OSError, ValueError) as error:
        raise UserError(f"--marquee={name}: {error}") from error


def make_bank(
    classes: list[int], headers: list[int], instances: list[int], labels: list[int], marquee: str
) -> np.ndarray:
    """The marquee bank (n, M, 2), one row for each condition that was asked for.

    Args:
      classes: numbers of classes; instances have classes of their own.
      headers: classes whose prompts stand before.
      instances: numbers of training images, or nothing.
      labels: the class of every training image that the prompts know.
      marquee: `instance_to_class` goes from each instance to its class.
    """
    if not instances:
        return class_bank(classes, headers)
    own = [(labels[i], i) for i in instances]
    if marquee == "instance_to_class":
        return np.array([[pair, (pair[0], NO_INSTANCE)] for pair in own], np.int32)
    before = [(c, NO_INSTANCE) for c in headers]
    return np.array([[*before, pair] for pair in own], np.int32)


def file_stems(class_names: list[str]) -> list[str]:
    """A file name for each class, without what file systems mind; no two are the same."""
    stems = ["".join(x if x.isalnum() or x in "-_" else "_" for x in name) for name in class_names]
    if len({stem.lower() for stem in stems}) < len(stems):
        return [f"{number:04d}_{stem}" for number, stem in enumerate(stems)]
    return stems


def save_images(
    images: np.ndarray,
    class_ids: np.ndarray,
    class_names: list[str],
    folder: epath.Path,
    record: dict[str, Any],
) -> None:
    """Writes `<class>_<number>.png` for every image; says what else already lay in the folder.

    `samples.json` keeps the class of each and the record of the generation, for whoever measures
    the folder (`data/sampled.py`).
    """
    older = {path.name for path in folder.glob("*.png")} - {"grid.png", "trace.png"}
    stems = file_stems(class_names)
    numbers = collections.Counter()
    classes = {}
    for image, c in zip(to_uint8(images), class_ids.tolist(), strict=True):
        name = f"{stems[c]}_{numbers[c]:04d}.png"
        grids.save_png(folder / name, image)
        numbers[c] += 1
        classes[name] = class_names[c]
    sampled.write(folder, classes, record)
    older -= classes.keys()
    if older:
        say(f"Note: {folder} also holds {len(older)} images that are not of this call.")


def define_generation_flags() -> None:
    """What every program has that draws from a run; not at import, see `define_flags`."""
    flags.DEFINE_integer("seed", 0, "Same seed, same images.", lower_bound=0)
    flags.DEFINE_integer("step", None, "Checkpoint of this update; by default the newest.")
    flags.DEFINE_multi_string(
        "set",
        [],
        "A decoding option of the run's config.decode, such as num_iterations=8 or temperature=0.9 "
        "(may be repeated).",
    )
    flags.DEFINE_string(
        "marquee",
        "constant",
        "How the prompt changes while decoding, in runs of prompts: constant (the class prompt "
        "throughout), scroll (from the first of --headers over the others to the class), "
        "instance_to_class (leaves the one header, or a training image's prompt, for the class "
        "until --cutoff), or a .npy file with a matrix (stages, headers + 1) whose rows sum to 1. "
        "Stages are decoding iterations, or with autoregressive transformers rows of the image's "
        "tokens.",
    )
    flags.DEFINE_list("headers", [], "Classes whose prompts stand before the class's own.")
    flags.DEFINE_float("cutoff", 6.0, "instance_to_class: stages until the class prompt rules.")
    flags.DEFINE_string("transformer", "", "The adapted transformer or BigGAN, where it has moved.")
    flags.DEFINE_string("tokenizer", "", "The frozen tokenizer, where it has moved.")


def define_flags() -> None:
    """The command line; not at import, so that programs can share a process."""
    flags.DEFINE_string("checkpoint", None, "Workdir of a run of a method.", required=True)
    flags.DEFINE_string("output", None, "Folder for the images; by default <checkpoint>/samples.")
    flags.DEFINE_list("classes", [], "Names or numbers of the classes; by default all.")
    flags.DEFINE_integer("num", 8, "Images a class.", lower_bound=1)
    define_generation_flags()
    flags.DEFINE_list(
        "instances",
        [],
        "Numbers of training images to start from, where prompts know them; instead of --classes.",
    )
    flags.DEFINE_bool("trace", False, "Also draw the iteration at which each token was revealed.")


def open_flagged_run() -> TunedRun:
    """The run that the command line names."""
    return open_run(FLAGS.checkpoint, FLAGS.step, FLAGS.tokenizer, FLAGS.transformer, FLAGS.set)


def flagged_generation(run: TunedRun, classes: list[int], instances: list[int]) -> Generation:
    """What the command line says to draw from a run.

    Args:
      run: to draw from.
      classes: of the images.
      instances: numbers of training images, instead of classes; or none.
    """
    class_names, labels = run.facts["class_names"], run.facts.get("instance_labels", [])
    if not run.has_prompts:
        if FLAGS.headers or FLAGS.marquee != "constant":
            raise UserError(
                f"--marquee and --headers steer prompts, and {run.workdir} is a run of "
                f"{run.config.task}: leave them out."
            )
        return plain_generation(run, np.array(classes), FLAGS.seed)
    method = run.sampler.method
    if not method.num_classes and not instances:
        raise UserError("These prompts know training images only: name some by --instances=0,1.")
    headers = class_numbers(FLAGS.headers, class_names) if FLAGS.headers else []
    to_class = headers or FLAGS.marquee == "instance_to_class"
    if to_class and not method.num_classes:
        raise UserError("These prompts know no classes: leave --headers and --marquee out.")
    bank = make_bank(classes, headers, instances, labels, FLAGS.marquee)
    stages = num_stages(run.sampler.transformer, run.sampler.num_tokens, run.sampler.options)
    weights = marquee_weights(FLAGS.marquee, stages, bank.shape[1], FLAGS.cutoff)
    named = {"name": FLAGS.marquee, "headers": [class_names[c] for c in headers]}
    if FLAGS.marquee == "instance_to_class":
        named["cutoff"] = FLAGS.cutoff
    if FLAGS.marquee.endswith(".npy"):
        named["matrix"] = weights.tolist()
    return Generation(run, bank, weights, named, FLAGS.seed)


def main(argv):
    """Entry point; flags are checked by absl."""
    # Orbax tells every step of every save, and its errors twice: they are raised, too.
    logging.set_verbosity(logging.FATAL)
    if len(argv) > 1:
        raise UserError(f"Unexpected argument {argv[1]!r}; see --help.")
    run = open_flagged_run()
    class_names = run.facts["class_names"]
    classes = class_numbers(FLAGS.classes, class_names)
    instances = instance_numbers(FLAGS.instances, len(run.facts.get("instance_labels", [])))
    if FLAGS.trace and "gan" in run.nets:
        raise UserError("--trace shows when tokens came; a GAN draws whole images: leave it out.")
    generation = flagged_generation(
        run, np.repeat(classes, FLAGS.num).tolist(), np.repeat(instances, FLAGS.num).tolist()
    )
    samples = generation.samples()
    folder = epath.Path(FLAGS.output or epath.Path(FLAGS.checkpoint) / "samples")
    save_images(samples.images, samples.class_ids, class_names, folder, generation.record())
    grids.save_png(
        folder / "grid.png", grids.class_grid(samples.images, samples.class_ids, class_names)
    )
    if FLAGS.trace:
        grids.save_png(folder / "trace.png", grids.trace_grid(samples.images, samples.revealed_at))
    say(f"Wrote {len(samples.images)} images and grid.png to {folder}.")


if __name__ == "__main__":
    host_memory.keep()
    define_flags()
    sys.exit(report_user_errors(lambda: app.run(main)))
