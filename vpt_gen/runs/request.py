"""The flags of programs that draw from a run, and the requested images."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from absl import flags

from vpt_gen.errors import UserError
from vpt_gen.machine import later, network
from vpt_gen.machine.number_flags import define_number
from vpt_gen.ranges import Positive, Seed, UpdatesOrZero

with later.imports(globals()):
    from vpt_gen.decode.generate import num_stages
    from vpt_gen.runs.conditions import class_numbers, make_bank, marquee_weights
    from vpt_gen.runs.generation import Generation, plain_generation
    from vpt_gen.runs.opened import TunedRun, open_run

FLAGS = flags.FLAGS
# The meaning of --checkpoint.
CHECKPOINT = (
    "Workdir of a run of a method; or a .safetensors file of vpt_gen.export, or its address "
    "hf://<owner>/<repository>."
)


@dataclasses.dataclass(frozen=True)
class Marquee:
    """How the prompt changes during decoding: the values of --marquee, --headers and --cutoff."""

    name: str = "constant"
    headers: tuple[str, ...] = ()
    cutoff: float = 6.0


def define_run_flags() -> None:
    """Defines the flags of programs that draw from a run, for `open_flagged_run`; not at import."""
    define_number("seed", 0, Seed, "Seed of the images.")
    define_number(
        "step", None, UpdatesOrZero, "Update of the checkpoint to open; by default the newest."
    )
    flags.DEFINE_multi_string(
        "set",
        [],
        "A decoding option of the run's config.decode, such as num_iterations=8 or temperature=0.9 "
        "(may be repeated).",
    )
    flags.DEFINE_string("transformer", "", "The adapted transformer or BigGAN, if it has moved.")
    flags.DEFINE_string("tokenizer", "", "The frozen tokenizer, if it has moved.")
    network.define_flags()


def define_generation_flags() -> None:
    """Defines those and the flags of `flagged_generation`; not at import."""
    define_run_flags()
    flags.DEFINE_string(
        "marquee",
        "constant",
        "How the prompt changes during decoding, in runs of prompts: constant (the class prompt "
        "throughout), scroll (from the first of --headers over the others to the class), "
        "instance_to_class (from one header, or a training image's prompt, to the class prompt "
        "until --cutoff), or a .npy file with a matrix (stages, headers + 1) whose rows sum to 1. "
        "Stages are decoding iterations, or rows of tokens for autoregressive transformers. The "
        "weights are our reading of the paper's idea.",
    )
    flags.DEFINE_list("headers", [], "Classes whose prompts come before the class's own.")
    define_number(
        "cutoff",
        Marquee.cutoff,
        Positive,
        "instance_to_class: stages until the class has full weight.",
    )


def open_flagged_run() -> TunedRun:
    """Opens the run of the command line."""
    return open_run(FLAGS.checkpoint, FLAGS.step, FLAGS.tokenizer, FLAGS.transformer, FLAGS.set)


def flagged_generation(run: TunedRun, classes: list[int], instances: list[int]) -> Generation:
    """Returns the images that the command line requests; see `requested`."""
    if FLAGS["cutoff"].present and FLAGS.marquee != "instance_to_class":
        raise UserError(
            "--cutoff needs --marquee=instance_to_class and has no effect with "
            f"--marquee={FLAGS.marquee}: leave it out."
        )
    marquee = Marquee(FLAGS.marquee, tuple(FLAGS.headers), FLAGS.cutoff)
    return requested(run, classes, instances, marquee, FLAGS.seed)


def requested(
    run: TunedRun, classes: list[int], instances: list[int], marquee: Marquee, seed: int
) -> Generation:
    """Returns the requested images of a run.

    Args:
      run: to draw from.
      classes: of the images.
      instances: numbers of training images, instead of classes; or none.
      marquee: how the prompt changes.
      seed: of all keys.

    Raises:
      UserError: a marquee that does not fit the run, or an unknown header.
    """
    class_names, labels = run.facts["class_names"], run.facts.get("instance_labels", [])
    if not run.has_prompts:
        if marquee.headers or marquee.name != "constant":
            raise UserError(
                f"--marquee and --headers need prompts, but {run.workdir} is a run of "
                f"{run.config.task}: leave them out."
            )
        return plain_generation(run, np.array(classes), seed)
    sampler = run.token_sampler
    method = sampler.method
    if not method.num_classes and not instances:
        raise UserError("These prompts have training images only: add --instances=0,1.")
    headers = class_numbers(list(marquee.headers), class_names) if marquee.headers else []
    if headers and instances and marquee.name == "instance_to_class":
        raise UserError(
            "--marquee=instance_to_class goes from each training image to its class and takes no "
            "--headers with training images: leave --headers out, or use --marquee=scroll."
        )
    to_class = headers or marquee.name == "instance_to_class"
    if to_class and not method.num_classes:
        raise UserError("These prompts have no classes: leave --headers and --marquee out.")
    bank = make_bank(classes, headers, instances, labels, marquee.name)
    stages = num_stages(sampler.transformer, sampler.num_tokens, sampler.options)
    weights = marquee_weights(marquee.name, stages, bank.shape[1], marquee.cutoff)
    named: dict[str, Any] = {"name": marquee.name, "headers": [class_names[c] for c in headers]}
    if marquee.name == "instance_to_class":
        named["cutoff"] = marquee.cutoff
    if marquee.name.endswith(".npy"):
        named["matrix"] = weights.tolist()
    return Generation(run, bank, weights, named, seed)
