"""`python -m vpt_gen.sample --checkpoint=runs/demo`: a run of a method -> images.

Writes one PNG an image, a labelled grid, and on request a picture of the order in which each
image was revealed. Same seed, same images.
"""

import numpy as np
from absl import flags
from etils import epath

from vpt_gen import cli
from vpt_gen.errors import UserError
from vpt_gen.images import grids
from vpt_gen.machine.progress import say, track
from vpt_gen.runs.conditions import choose
from vpt_gen.runs.generation import Generation
from vpt_gen.runs.request import (
    define_generation_flags,
    flagged_generation,
    open_flagged_run,
)
from vpt_gen.runs.saved import SampleFolder

FLAGS = flags.FLAGS

_SHOWN = 10  # images of each class in the grid
_TRACED = 64  # images whose order is drawn


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


def main():
    """Runs the program; its flags are parsed."""
    run = open_flagged_run()
    class_names = run.facts["class_names"]
    num_instances = len(run.facts.get("instance_labels", []))
    classes, instances = choose(FLAGS.classes, FLAGS.instances, class_names, num_instances)
    if FLAGS.trace and "gan" in run.nets:
        raise UserError("--trace shows when tokens came; a GAN draws whole images: leave it out.")
    generation = flagged_generation(
        run, np.repeat(classes, FLAGS.num).tolist(), np.repeat(instances, FLAGS.num).tolist()
    )
    path = epath.Path(FLAGS.output or epath.Path(FLAGS.checkpoint) / "samples")
    folder = SampleFolder(
        path, generation.class_ids, class_names, generation.record(), generation.bank
    )
    revealed_at = draw(generation, folder, trace=FLAGS.trace)
    shown, of_classes = folder.first_of_each(_SHOWN)
    grids.save_png(path / "grid.png", grids.class_grid(shown, of_classes, class_names))
    if FLAGS.trace:
        images = folder.images(range(len(revealed_at)))
        grids.save_png(path / "trace.png", grids.trace_grid(images, revealed_at))
    folder.finish()
    say(f"Wrote {len(generation.bank)} images and grid.png to {path}.")


def draw(generation: Generation, folder: SampleFolder, trace: bool) -> np.ndarray:
    """Draws what the folder lacks, and writes it batch by batch.

    Returns:
      When the tokens of the first images were revealed (m, N), of `_TRACED` at most; with `trace`
      all are drawn anew, as no file tells.
    """
    if trace:
        folder.begin_anew()
    done = 0 if trace else folder.begin()
    if done:
        say(f"Going on behind {done} images that an earlier call has left in {folder.path}.")
    count, revealed = len(generation.bank), []
    with track(total=count, initial=done, label="sampling") as bar:
        for first, samples in generation.batches(done) if done < count else ():
            folder.add(first, samples.images)
            bar.update(first + len(samples.images) - bar.n)
            if first < _TRACED:
                revealed.append(samples.revealed_at)
    return np.concatenate(revealed)[:_TRACED] if revealed else np.zeros((0, 0), np.int32)


if __name__ == "__main__":
    cli.run(main, define_flags)
