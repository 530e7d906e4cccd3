"""`python -m vpt_gen.edit --checkpoint=runs/demo --image=a.png --box=8,8,24,24`: repaints images.

Draws some visual tokens of an image anew, as the run's prompts want them; the others stay. Say what
to repaint by --mask or --box, what to add by --extend, or how much of it to keep by --keep. Pixels
outside of the mask stay exactly as they are, and images keep their size. The same seed gives the
same images.

Writes one PNG per image and class as soon as its batch is painted, and `edits.png` with the first
ones next to what was given. The same command resumes after an interruption. With --distributed,
several processes paint together: each paints and writes whole batches.
"""

from __future__ import annotations

import functools

import numpy as np
from absl import flags
from etils import epath

from vpt_gen import cli
from vpt_gen.edit import NOTE, PICTURE
from vpt_gen.edit.given import extended, masks_of, read_image
from vpt_gen.errors import UserError
from vpt_gen.images import grids, masks
from vpt_gen.machine import distributed, later, lock
from vpt_gen.machine.number_flags import define_number
from vpt_gen.machine.progress import say
from vpt_gen.ranges import Count, NotNegative, ShareBelowOne, SideOrZero
from vpt_gen.runs import request

with later.imports(globals()):
    from vpt_gen.edit.drawn import drawing_of
    from vpt_gen.edit.written import names_of, open_manifest, picture, read_painted
    from vpt_gen.machine.manifest import Manifest
    from vpt_gen.runs.conditions import choose
    from vpt_gen.runs.editing import Brush, check, edits_of
    from vpt_gen.runs.together import draw_together

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags; not at import, so that programs can share a process."""
    flags.DEFINE_string("checkpoint", None, request.CHECKPOINT, required=True)
    flags.DEFINE_multi_string("image", None, "An image file (may be repeated).", required=True)
    flags.DEFINE_multi_string(
        "mask",
        [],
        "A picture of the image's size, white where to repaint: one for all images, or one per "
        "--image.",
    )
    flags.DEFINE_list("box", [], "Instead of --mask: x0,y0,x1,y1, in pixels from the top left.")
    flags.DEFINE_list("extend", [], "Pixels to add around each image: left,top,right,bottom.")
    define_number(
        "keep",
        0.0,
        ShareBelowOne,
        "Share of the masked tokens that stay, spread evenly: the masked part, by default all of "
        "the image, then varies instead of being replaced.",
    )
    flags.DEFINE_list("classes", [], "Names or numbers of the classes to paint; by default all.")
    define_number("num", 4, Count, "Images per --image and class.")
    flags.DEFINE_enum(
        "rule",
        "any",
        masks.RULES,
        "A token is drawn anew if any, or most, of its pixels are masked.",
    )
    define_number(
        "window",
        0,
        SideOrZero,
        "Side of the squares that are painted, in pixels; 0 is the image's shorter side. Smaller "
        "ones show more detail and see less around them.",
    )
    define_number(
        "feather", None, NotNegative, "Pixels over which new ones fade in; by default half a token."
    )
    flags.DEFINE_string("output", "edits", "Folder for the images.")
    request.define_generation_flags()
    distributed.define_flags()


def main():
    """Runs the program; its flags are parsed."""
    distributed.start(apart=True)
    given = [read_image(path) for path in FLAGS.image]
    canvases, masked = _canvases(given)
    run = request.open_flagged_run()
    class_names = run.facts["class_names"]
    classes, _ = choose(FLAGS.classes, [], class_names, 0)
    wanted = np.repeat(classes, FLAGS.num)
    generation = request.flagged_generation(run, wanted.tolist(), [])
    edits = [
        edit
        for canvas, mask in zip(canvases, masked, strict=True)
        for edit in edits_of(canvas, mask, generation.bank)
    ]
    brush = Brush(FLAGS.window, FLAGS.rule, FLAGS.keep, FLAGS.feather)
    check(run, edits, brush)
    folder = epath.Path(FLAGS.output)
    names = names_of(FLAGS.image, wanted, class_names)
    drawing = drawing_of(generation, edits, names, brush)

    def finish(manifest: Manifest) -> None:
        of_all = picture(given, canvases, masked, read_painted(folder, names, len(given)))
        manifest.write({PICTURE: grids.as_png(of_all)})
        command = cli.command("vpt_gen.edit", leave_out=distributed.FLAGS)
        manifest.finish({"command": command, "record": generation.record()})

    with lock.held_for_all(folder, "--output"):
        opened = functools.partial(open_manifest, folder, names, drawing.request)
        draw_together(drawing, folder / NOTE, opened, finish)
    say(f"Wrote {len(edits)} images and {PICTURE} to {folder}.")


def _canvases(given: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Returns the images, enlarged if asked for, and what to repaint of each."""
    if not FLAGS.extend:
        return given, masks_of(given, FLAGS.mask, _pixels("box"), FLAGS.keep)
    if FLAGS.mask or FLAGS.box:
        raise UserError("--extend repaints what it adds: leave --mask and --box out.")
    pairs = [extended(image, _pixels("extend")) for image in given]
    return [canvas for canvas, _ in pairs], [mask for _, mask in pairs]


def _pixels(name: str) -> list[int]:
    """Returns the four numbers of a flag, or nothing if it is not given."""
    words = FLAGS[name].value or []
    if words and (len(words) != 4 or not all(word.strip().isdecimal() for word in words)):
        raise UserError(
            f"--{name}={','.join(words)} must be four whole numbers of pixels, such as 0,0,16,16."
        )
    return [int(word) for word in words]


if __name__ == "__main__":
    cli.run(main, define_flags)
