"""`python -m vpt_gen.gallery --run=NAR=runs/a --run=AR=runs/b`: runs side by side, as one picture.

Of each class the images that were trained on, then the first samples of each run, unselected. With
--marquee also what happens where the prompt changes while an image is decoded: a row for each
schedule, a column for each class.
"""

import pathlib

import numpy as np
from absl import flags

from vpt_gen import cli
from vpt_gen.errors import UserError
from vpt_gen.images import grids
from vpt_gen.machine.progress import say
from vpt_gen.report.conditions import prompt_pairs
from vpt_gen.report.marquee import make_schedules
from vpt_gen.report.real import open_real
from vpt_gen.runs.generation import plain_generation
from vpt_gen.runs.opened import TunedRun, open_run

FLAGS = flags.FLAGS


def open_runs(given: list[str]) -> dict[str, TunedRun]:
    """['label=workdir', ...] -> {label: run}.

    Raises:
      UserError: something else, a label that stands twice, or runs of different classes.
    """
    runs: dict[str, TunedRun] = {}
    for item in given:
        label, separator, workdir = item.partition("=")
        if not separator or not workdir or label in runs:
            raise UserError(f"--run={item} must be <label>=<workdir>, each label once.")
        runs[label] = open_run(workdir)
    classes = {label: run.facts["class_names"] for label, run in runs.items()}
    first = next(iter(classes))
    for label, names in classes.items():
        if names != classes[first]:
            raise UserError(f"The runs {first} and {label} are of different classes.")
    return runs


def side_by_side(
    runs: dict[str, TunedRun], num: int, seed: int, with_real: bool = True
) -> np.ndarray:
    """The picture: for each class a row of real images, where they are wanted, and one a run."""
    first = next(iter(runs.values()))
    names = first.facts["class_names"]
    class_ids = np.arange(len(names)).repeat(num)
    drawn = {}
    for label, run in runs.items():
        images = plain_generation(run, class_ids, seed).samples().images
        drawn[label] = images.reshape(len(names), num, *images.shape[1:])
    real, rows = open_real(first) if with_real else None, {}
    for number, name in enumerate(names):
        if real:
            shown = np.flatnonzero(real.train.labels == number)[:num]
            rows[f"{name}, real"] = real.pictures(real.train, shown)
        rows |= {f"{name}, {label}": images[number] for label, images in drawn.items()}
    return grids.labelled_rows(rows)


def marquee_picture(run: TunedRun, seed: int) -> np.ndarray:
    """The same keys under ever later changes of the prompt, one column a class.

    Raises:
      UserError: a run without prompts, or with one condition only.
    """
    classes = np.arange(len(run.facts["class_names"]))
    if not run.has_prompts or not len(pairs := prompt_pairs(run, classes)):
        raise UserError(f"{run.workdir} has no two prompts to go between: leave --marquee out.")
    rows = {}
    for schedule in make_schedules(run):
        rows[schedule.name] = run.sampler.sample(run.params, pairs, seed, schedule.weights).images
    return grids.labelled_rows(rows)


def define_flags() -> None:
    """The command line; not at import, so that programs can share a process."""
    flags.DEFINE_multi_string(
        "run", None, "<label>=<workdir> of a run of a method (may be repeated).", required=True
    )
    flags.DEFINE_integer("num", 8, "Images a row.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Same seed, same images.", lower_bound=0)
    flags.DEFINE_bool("real", True, "Also the real images; --noreal where they may not be shown.")
    flags.DEFINE_bool("marquee", False, "Also draw <output>_marquee.png, of the first run.")
    flags.DEFINE_string("output", "gallery.png", "The picture to write.")


def main():
    """Runs the program; its flags are parsed."""
    runs = open_runs(FLAGS.run)
    output = pathlib.Path(FLAGS.output)
    grids.save_png(output, side_by_side(runs, FLAGS.num, FLAGS.seed, FLAGS.real))
    say(f"Wrote {output}.")
    if FLAGS.marquee:
        path = output.with_name(f"{output.stem}_marquee{output.suffix}")
        grids.save_png(path, marquee_picture(next(iter(runs.values())), FLAGS.seed))
        say(f"Wrote {path}.")


if __name__ == "__main__":
    cli.run(main, define_flags)
