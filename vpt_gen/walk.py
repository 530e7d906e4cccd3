"""`python -m vpt_gen.walk --checkpoint=runs/demo --classes=3,8`: walks between prompts.

Draws the same images (the same noise) under prompts between those of two or more classes, or of
training images: one row per image, one column per step. With --mix, one prompt is a sum of others,
such as 3:1,8:0.5,0:-0.5. Writes `strip.png` and, of a walk, `animation.png` (an animated PNG).
"""

from __future__ import annotations

import io

import numpy as np
from absl import flags
from etils import epath
from PIL import Image

from vpt_gen import cli
from vpt_gen.errors import UserError
from vpt_gen.images import grids
from vpt_gen.machine import later, lock
from vpt_gen.machine.number_flags import define_number
from vpt_gen.machine.progress import say, track
from vpt_gen.ranges import Count, Positive, Several
from vpt_gen.runs.request import CHECKPOINT, define_run_flags, open_flagged_run

with later.imports(globals()):
    from vpt_gen.machine.manifest import Manifest
    from vpt_gen.runs.conditions import choose, class_numbers
    from vpt_gen.runs.walks import along, mixed, mixture

FLAGS = flags.FLAGS
STRIP, ANIMATION, NOTE = "strip.png", "animation.png", "walk.json"


def define_flags() -> None:
    """Defines the flags; not at import, so that programs can share a process."""
    flags.DEFINE_string("checkpoint", None, CHECKPOINT, required=True)
    flags.DEFINE_list("classes", [], "Names or numbers of the classes to walk along, in order.")
    flags.DEFINE_list("instances", [], "Numbers of training images instead, if prompts have them.")
    flags.DEFINE_list(
        "mix", [], "Instead of a walk: <class>:<weight>, ..., whose weights sum to 1."
    )
    define_number("steps", 8, Several, "Steps from one prompt to the next, with both.")
    define_number("num", 4, Count, "Images, the rows.")
    define_number("seconds", 2.0, Positive, "Duration of the animation, per class.")
    flags.DEFINE_string("output", "walk", "Folder to write.")
    define_run_flags()


def main():
    """Runs the program; its flags are parsed."""
    folder = epath.Path(FLAGS.output)
    names = [STRIP] if FLAGS.mix else [STRIP, ANIMATION]
    with lock.held(folder, "--output"):
        manifest = Manifest(folder / NOTE, names)
        files = _mix() if FLAGS.mix else _walk()
        manifest.begin()
        manifest.write(files)
        manifest.finish({"command": cli.command("vpt_gen.walk")})
    say(f"Wrote {' and '.join(names)} to {folder}.")


def _walk() -> dict[str, bytes]:
    run = open_flagged_run()
    class_names = run.facts["class_names"]
    labels = run.facts.get("instance_labels", [])
    if len(FLAGS.instances or FLAGS.classes) < 2:
        raise UserError("A walk needs two or more of --classes, or of --instances.")
    classes, instances = choose(FLAGS.classes, FLAGS.instances, class_names, len(labels))
    total = (FLAGS.steps - 1) * (len(FLAGS.instances or FLAGS.classes) - 1) + 1
    walk = along(run, classes, instances, FLAGS.steps, FLAGS.num, FLAGS.seed)
    steps = list(track(walk, total=total, label="walking"))
    columns = np.stack(steps, axis=1)  # (num, steps, H, W, 3)
    strip = grids.image_grid(grids.magnify(columns.reshape(-1, *columns.shape[2:])), len(steps))
    seconds = FLAGS.seconds * len(FLAGS.instances or FLAGS.classes)
    return {STRIP: grids.as_png(strip), ANIMATION: animation(steps, seconds)}


def animation(steps: list[np.ndarray], seconds: float) -> bytes:
    """Returns an animated PNG of steps, images (n, H, W, 3) in [0, 1] each, there and back."""
    frames = [Image.fromarray(grids.image_grid(grids.magnify(x), len(x))) for x in steps]
    frames += frames[-2:0:-1]
    file = io.BytesIO()
    duration = 1000 * seconds / len(frames)
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:], duration=duration, loop=0)
    return file.getvalue()


def _mix() -> dict[str, bytes]:
    if FLAGS.classes or FLAGS.instances:
        raise UserError("--mix names its classes itself: leave --classes and --instances out.")
    run = open_flagged_run()
    names, weights = mixture(FLAGS.mix)
    classes = class_numbers(names, run.facts["class_names"])
    images = mixed(run, classes, weights, FLAGS.num, FLAGS.seed)
    return {STRIP: grids.as_png(grids.image_grid(grids.magnify(images), len(images)))}


if __name__ == "__main__":
    cli.run(main, define_flags)
