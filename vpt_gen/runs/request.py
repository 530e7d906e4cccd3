"""The flags of programs that draw from a run, and what they ask for."""

import numpy as np
from absl import flags

from vpt_gen.decode.generate import num_stages
from vpt_gen.errors import UserError
from vpt_gen.runs.conditions import class_numbers, make_bank, marquee_weights
from vpt_gen.runs.generation import Generation, plain_generation
from vpt_gen.runs.opened import TunedRun, open_run

FLAGS = flags.FLAGS


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
    if FLAGS["cutoff"].present and FLAGS.marquee != "instance_to_class":
        raise UserError(
            "--cutoff belongs to --marquee=instance_to_class and changes nothing with "
            f"--marquee={FLAGS.marquee}: leave it out."
        )
    class_names, labels = run.facts["class_names"], run.facts.get("instance_labels", [])
    if not run.has_prompts:
        if FLAGS.headers or FLAGS.marquee != "constant":
            raise UserError(
                f"--marquee and --headers steer prompts, and {run.workdir} is a run of "
                f"{run.config.task}: leave them out."
            )
        return plain_generation(run, np.array(classes), FLAGS.seed)
    sampler = run.token_sampler
    method = sampler.method
    if not method.num_classes and not instances:
        raise UserError("These prompts know training images only: name some by --instances=0,1.")
    headers = class_numbers(FLAGS.headers, class_names) if FLAGS.headers else []
    if headers and instances and FLAGS.marquee == "instance_to_class":
        raise UserError(
            "--marquee=instance_to_class leaves each training image for its own class and takes no "
            "--headers beside training images: leave --headers out, or use --marquee=scroll."
        )
    to_class = headers or FLAGS.marquee == "instance_to_class"
    if to_class and not method.num_classes:
        raise UserError("These prompts know no classes: leave --headers and --marquee out.")
    bank = make_bank(classes, headers, instances, labels, FLAGS.marquee)
    stages = num_stages(sampler.transformer, sampler.num_tokens, sampler.options)
    weights = marquee_weights(FLAGS.marquee, stages, bank.shape[1], FLAGS.cutoff)
    named = {"name": FLAGS.marquee, "headers": [class_names[c] for c in headers]}
    if FLAGS.marquee == "instance_to_class":
        named["cutoff"] = FLAGS.cutoff
    if FLAGS.marquee.endswith(".npy"):
        named["matrix"] = weights.tolist()
    return Generation(run, bank, weights, named, FLAGS.seed)
