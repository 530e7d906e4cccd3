"""`python -m vpt_gen.study --config=configs/study_demo.py`: compares methods of adaptation.

Runs a grid of variants, data sets, shots and seeds. Each cell is a run in
<workdir>/cells/<variant>/<data>/<shots>/<seed>, started by a command that you could give yourself.
Stop the study at any time; the same command resumes it, and finished cells are not run again.
Failed cells are listed, and tried again when it resumes. At the end, and at any time with --gather,
all metrics are collected in results.csv, results.json and a page with pictures.
"""

from __future__ import annotations

import pathlib

from absl import flags

from vpt_gen import cli
from vpt_gen.config import flag
from vpt_gen.errors import UserError
from vpt_gen.machine import later, lock
from vpt_gen.machine.progress import say

with later.imports(globals()):
    from vpt_gen.study import plots, results
    from vpt_gen.study.chosen import check_data, chosen_cells, list_cells, parse_shard
    from vpt_gen.study.config import check_study
    from vpt_gen.study.page import check_page, write_page
    from vpt_gen.study.record import claim_folder
    from vpt_gen.study.runner import Runner
    from vpt_gen.study.runs import Runs

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags; not at import, so that programs can share a process."""
    flag.define(
        "The study: a file configs/study_*.py. Its fields are set as with other "
        "programs: --config.seeds='(0,1)'."
    )
    flags.DEFINE_string(
        "workdir", None, "Folder of the study; by default runs/<name of the config>."
    )
    flags.DEFINE_bool("list", False, "Only print the cells and their states.")
    flags.DEFINE_bool("gather", False, "Only collect the existing results.")
    flags.DEFINE_multi_string(
        "only",
        [],
        "Run only cells whose path contains this, such as lora/digits/5 (may be repeated: the path "
        "must contain all).",
    )
    flags.DEFINE_string(
        "shard",
        "0/1",
        "i/n: run every n-th pair of a variant and a data set, from number i on. n hosts that "
        "share the folder can so run the study together.",
    )
    flags.DEFINE_string(
        "page", None, "The page to write, such as docs/study_demo.md; by default <workdir>/page.md."
    )


def page_path(folder: pathlib.Path) -> pathlib.Path:
    """Returns the path of the page to write."""
    return pathlib.Path(FLAGS.page or folder / "page.md")


def gather(study, runner: Runner, runs: Runs, folder: pathlib.Path, command: str) -> None:
    """Writes tables, the page and its pictures, and prints their paths."""
    with lock.held(folder, "--workdir", wait=True):
        _gather(study, runner, runs, folder, command)


def _gather(study, runner: Runner, runs: Runs, folder: pathlib.Path, command: str) -> None:
    found = results.gather(study, folder, runner.state)
    paths = results.write_results(study, found, folder)
    page = page_path(folder)
    pictures = plots.pictures(study, runs, folder, found)
    if not plots.can_plot():
        say("Plots are left out: they need matplotlib (pip install -e .[demo]), then --gather.")
    write_page(study, found, pictures, folder, page, command)
    say(f"Gathered {len(found.rows)} results: {', '.join(map(str, [*paths, page]))}.")


def main():
    """Runs the program; its flags are parsed."""
    study = FLAGS.config
    check_study(study)
    folder = pathlib.Path(FLAGS.workdir or cli.default_workdir())
    index, count = parse_shard(FLAGS.shard)
    own = folder / "shards" / f"{index}_of_{count}"
    runs = Runs(study, folder, own / "tokens")
    runner = Runner(study, folder, runs)
    cells = chosen_cells(study, FLAGS.only, (index, count))
    command = cli.command("vpt_gen.study", leave_out=("list", "gather"))
    if FLAGS.list:
        list_cells(cells, runner)
        return
    with lock.held(folder, "--workdir", wait=True):  # Another shard may be gathering.
        results.open_manifest(folder)  # What is in the way is told before anything runs.
        check_page(page_path(folder))
    if FLAGS.gather:
        gather(study, runner, runs, folder, command)
        return
    check_data(study, runs, cells)
    with lock.held(folder, "--workdir", wait=True):
        claim_folder(study, runs, folder)
    # Other shards share the folder. A cell's process outlives a runner that is killed with SIGKILL;
    # it holds the same lock, and the next runner waits for it.
    with lock.held(own, "--workdir", wait=True) as descriptor:
        missing = runner.run(cells, descriptor)
    gather(study, runner, runs, folder, command)
    if missing:
        for cell, why in missing.items():
            say(f"Not done: {cell}: {why} (see {folder / cell.path}/log.txt)")
        raise UserError(
            f"{len(missing)} of {len(cells)} cells are not done; the same command tries them again."
        )


if __name__ == "__main__":
    cli.run(main, define_flags)
