"""`python -m vpt_gen.report --workdir=runs/demo`: writes an HTML page about a run of a method.

The page is a single HTML file without scripts: it opens from disk, needs no network, and is the
same for the same seed. With --distributed, several processes draw its images together, and the
first one makes it.
"""

from __future__ import annotations

import importlib.util

from absl import flags
from etils import epath

from vpt_gen import cli
from vpt_gen.data.names import alike
from vpt_gen.errors import UserError
from vpt_gen.machine import distributed, later, lock
from vpt_gen.machine.files import check_output, write_text
from vpt_gen.machine.number_flags import define_number
from vpt_gen.machine.progress import say
from vpt_gen.ranges import Seed, Several, UpdatesOrZero
from vpt_gen.report.html import DOCTYPE

with later.imports(globals()):
    from vpt_gen.report.document import draw_together, make_page
    from vpt_gen.runs.generation import Generation
    from vpt_gen.runs.opened import TunedRun, open_run
    from vpt_gen.runs.shared_samples import SharedSamples
    from vpt_gen.runs.stored import is_file

FLAGS = flags.FLAGS


def open_compared(run: TunedRun, workdirs: list[str]) -> dict[str, TunedRun]:
    """Opens other runs, which must have prompts for the same conditions."""
    runs = {workdir: open_run(workdir) for workdir in workdirs}
    for one in [run, *runs.values()] if runs else []:
        if not one.has_prompts:
            raise UserError(
                f"--compare needs prompts, but {one.workdir} is a run of {one.config.task}."
            )
    for workdir, other in runs.items():
        if not alike(other.facts["class_names"], run.facts["class_names"]):
            raise UserError(f"--compare: {workdir} has other classes than {run.workdir}.")
        if other.config.prompt.condition != run.config.prompt.condition:
            raise UserError(
                f"--compare: the prompts of {workdir} are for {other.config.prompt.condition}, "
                f"those of {run.workdir} for {run.config.prompt.condition}."
            )
    return runs


def define_flags() -> None:
    """Defines the flags; not at import, so that programs can share a process."""
    flags.DEFINE_string("workdir", None, "Workdir of a run of a method.", required=True)
    flags.DEFINE_string("output", "", "The HTML file; by default <workdir>/report.html.")
    define_number("num", 8, Several, "Images per class, and per marquee schedule.")
    define_number("seed", 0, Seed, "Seed of the page.")
    define_number(
        "step", None, UpdatesOrZero, "Update of the checkpoint to open; by default the newest."
    )
    flags.DEFINE_list(
        "compare",
        [],
        "Workdirs of other runs on the same data, for example with other prompt lengths: one point "
        "each in the analysis of prompts.",
    )
    flags.DEFINE_string("transformer", "", "The frozen transformer, if it has moved.")
    flags.DEFINE_string("tokenizer", "", "The frozen tokenizer, if it has moved.")
    distributed.define_flags()


def main():
    """Runs the program; its flags are parsed."""
    if importlib.util.find_spec("sklearn") is None:
        raise UserError("A report needs scikit-learn; install it with `pip install -e .[demo]`.")
    if is_file(FLAGS.workdir):
        raise UserError(
            f"A report shows a training, which {FLAGS.workdir} does not hold: give the workdir of "
            "its run, or look at the file with vpt_gen.sample and vpt_gen.evaluate."
        )
    output = epath.Path(FLAGS.output or epath.Path(FLAGS.workdir) / "report.html")
    distributed.start(apart=True)
    check_output(output, "--output", DOCTYPE)
    with lock.held_for_all(output, "--output", beside=True):
        report(output)


def report(output: epath.Path) -> None:
    """Makes the page, which no other program writes to."""
    run = open_run(FLAGS.workdir, FLAGS.step, FLAGS.tokenizer, FLAGS.transformer)
    compared = open_compared(run, FLAGS.compare)
    shared = SharedSamples(output.with_name(f".{output.name}.images"))
    if FLAGS.distributed:
        draw_together(run, FLAGS.num, FLAGS.seed, shared)
    draw = shared.read if FLAGS.distributed else Generation.samples

    def write() -> None:
        text = make_page(run, FLAGS.num, FLAGS.seed, compared, draw)
        write_text(output, text)
        say(f"Wrote {output} ({len(text.encode()) / 1e6:.1f} MB): open it in a browser.")
        shared.remove()  # Also those that an interrupted command has left.

    distributed.first_does(write)


if __name__ == "__main__":
    cli.run(main, define_flags)
