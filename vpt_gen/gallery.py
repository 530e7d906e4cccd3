"""`python -m vpt_gen.gallery --run=NAR=runs/a --run=AR=runs/b`: shows runs side by side.

The picture has, per class, training images, then the first samples of each run, unselected. With
--nearest a second picture has samples of the first run above the training images nearest to them.
With --marquee another one shows the effect of changing the prompt during decoding: one row per
schedule, one column per class.
"""

from __future__ import annotations

import pathlib

from absl import flags

from vpt_gen import cli
from vpt_gen.data.names import alike
from vpt_gen.errors import UserError
from vpt_gen.images import grids, png
from vpt_gen.machine import later
from vpt_gen.machine.files import check_output
from vpt_gen.machine.number_flags import define_number
from vpt_gen.machine.progress import say
from vpt_gen.ranges import Count, Seed

with later.imports(globals()):
    from vpt_gen.report.real import open_real
    from vpt_gen.report.side_by_side import (
        check_label,
        first_samples,
        marquee_picture,
        nearest_picture,
        side_by_side,
    )
    from vpt_gen.runs.opened import TunedRun, open_run

FLAGS = flags.FLAGS


def open_runs(given: list[str]) -> dict[str, TunedRun]:
    """Opens runs: ['label=workdir', ...] -> {label: run}.

    Raises:
      UserError: another format, a label that occurs twice or is that of real images, or runs with
        different classes.
    """
    runs: dict[str, TunedRun] = {}
    for item in given:
        label, separator, workdir = item.partition("=")
        if not separator or not workdir or label in runs:
            raise UserError(f"--run={item} must be <label>=<workdir>, each label once.")
        check_label(label)
        runs[label] = open_run(workdir)
    classes = {label: run.facts["class_names"] for label, run in runs.items()}
    first = next(iter(classes))
    for label, names in classes.items():
        if not alike(names, classes[first]):
            raise UserError(f"The runs {first} and {label} have different classes.")
    return runs


def define_flags() -> None:
    """Defines the flags; not at import, so that programs can share a process."""
    flags.DEFINE_multi_string(
        "run",
        None,
        "<label>=<workdir> of a run of a method, or <label>=<file> of vpt_gen.export, or its "
        "address (may be repeated).",
        required=True,
    )
    define_number("num", 8, Count, "Images per row.")
    define_number("seed", 0, Seed, "Seed of the images.")
    flags.DEFINE_bool("real", True, "Also show real images; --noreal leaves them out.")
    flags.DEFINE_bool("nearest", False, "Also write <output>_nearest.png, of the first run.")
    flags.DEFINE_bool("marquee", False, "Also write <output>_marquee.png, of the first run.")
    flags.DEFINE_string("output", "gallery.png", "The picture to write.")


def main():
    """Runs the program; its flags are parsed."""
    output = pathlib.Path(FLAGS.output)
    also = [name for name in ("nearest", "marquee") if FLAGS[name].value]
    paths = [output, *(output.with_name(f"{output.stem}_{x}{output.suffix}") for x in also)]
    for path in paths:
        check_output(path, "--output", png.SIGNATURE)
    runs = open_runs(FLAGS.run)
    first = next(iter(runs.values()))
    for name, cure in (("real", "add --noreal"), ("nearest", "leave --nearest out")):
        if FLAGS[name].value and first.merged:
            raise UserError(f"{first.workdir} holds several runs, each with its own data: {cure}.")
    names = first.facts["class_names"]
    real = open_real(first) if FLAGS.real or FLAGS.nearest else None
    drawn = {label: first_samples(run, FLAGS.num, FLAGS.seed) for label, run in runs.items()}
    pictures = [side_by_side(names, drawn, real if FLAGS.real else None)]
    if real and FLAGS.nearest:
        pictures.append(nearest_picture(names, next(iter(drawn.values())), real))
    if FLAGS.marquee:
        pictures.append(marquee_picture(first, FLAGS.seed))
    for path, picture in zip(paths, pictures, strict=True):
        grids.save_png(path, picture)
        say(f"Wrote {path}.")


if __name__ == "__main__":
    cli.run(main, define_flags)
