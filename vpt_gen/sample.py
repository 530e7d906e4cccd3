"""`python -m vpt_gen.sample --checkpoint=runs/demo`: draws images from a run of a method.

Writes one PNG per image as soon as its batch is drawn, a labeled grid of the first images of each
class, and with --trace a picture of the order in which tokens were revealed. The same seed gives
the same images. The same command resumes after an interruption. With --distributed, several
processes draw them together: each draws and writes whole batches. With --shard_size, images are
packed into TAR files instead.
"""

import numpy as np
from absl import flags
from etils import epath

from vpt_gen import cli
from vpt_gen.data import sampled
from vpt_gen.errors import UserError
from vpt_gen.machine import distributed, later, lock
from vpt_gen.machine.files import check_writable
from vpt_gen.machine.number_flags import define_number
from vpt_gen.machine.progress import say
from vpt_gen.ranges import Count, CountOrZero
from vpt_gen.runs.request import (
    CHECKPOINT,
    define_generation_flags,
    flagged_generation,
    open_flagged_run,
)

with later.imports(globals()):
    from vpt_gen.runs.conditions import choose
    from vpt_gen.runs.saved import save_generation
    from vpt_gen.runs.stored import default_output

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags; not at import, so that programs can share a process."""
    flags.DEFINE_string("checkpoint", None, CHECKPOINT, required=True)
    flags.DEFINE_string("output", None, "Folder for the images; by default <checkpoint>/samples.")
    flags.DEFINE_list("classes", [], "Names or numbers of the classes; by default all.")
    define_number("num", 8, Count, "Images per class.")
    define_generation_flags()
    flags.DEFINE_list(
        "instances",
        [],
        "Numbers of training images to start from, if prompts have them; instead of --classes.",
    )
    flags.DEFINE_bool("trace", False, "Also write trace.png: when each token was revealed.")
    define_number(
        "shard_size",
        0,
        CountOrZero,
        "Images per TAR shard (the layout of WebDataset), for more images than a folder takes "
        "well; 0 writes a PNG for each image.",
    )
    distributed.define_flags()


def main():
    """Runs the program; its flags are parsed."""
    if FLAGS.trace and FLAGS.distributed:
        raise UserError("--trace shows the order of one process's tokens: leave out --distributed.")
    if FLAGS.trace and FLAGS.shard_size:
        raise UserError("--trace shows images that are files: leave out --shard_size.")
    distributed.start(apart=True)
    folder = epath.Path(FLAGS.output or default_output(FLAGS.checkpoint, "samples"))
    check_writable(folder / sampled.FILE, "--output")
    run = open_flagged_run()
    class_names = run.facts["class_names"]
    num_instances = len(run.facts.get("instance_labels", []))
    classes, instances = choose(FLAGS.classes, FLAGS.instances, class_names, num_instances)
    if FLAGS.trace and not run.sampler.has_tokens:
        raise UserError("--trace shows tokens, but a GAN draws whole images: leave it out.")
    generation = flagged_generation(
        run, np.repeat(classes, FLAGS.num).tolist(), np.repeat(instances, FLAGS.num).tolist()
    )
    with lock.held_for_all(folder, "--output"):
        save_generation(generation, folder, FLAGS.trace, FLAGS.shard_size)
    say(f"Wrote {len(generation.bank)} images and grid.png to {folder}.")


if __name__ == "__main__":
    cli.run(main, define_flags)
