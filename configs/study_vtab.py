"""Tune prompts to VTAB's 19 tasks, and measure 50,000 samples of each.

  python -m vpt_gen.study --config=configs/study_vtab.py --list
  bash launch/slurm.sh --program=study --nodes=19 --config=configs/study_vtab.py --workdir=runs/vtab
  python -m vpt_gen.study --config=configs/study_vtab.py --workdir=runs/vtab --gather   # the table

A task is a cell, and hosts that share the folder share the cells (`--shard`). Every task gets as
many updates as 100 epochs of Caltech101, the one task that the release trains, on all of VTAB's
`train` split. The samples are compared with the `val` split. Data, weights, and hours and dollars
on TPU slices and a GPU: docs/vtab.md.
"""

from vpt_gen.data.vtab.tasks import TASKS
from vpt_gen.recipes.adaptation import vtab
from vpt_gen.study.config import dataset, default_study, in_order, variant


def get_config():
    study = default_study()
    study.title = "Prompts on VTAB's 19 tasks"
    study.variants = in_order(prompts=variant("prompts"))
    study.datasets = in_order(**{task.short: _dataset(task) for task in TASKS.values()})
    study.seeds = (0,)
    study.budget.steps = vtab("caltech101", "").num_steps
    # No search: the released learning rate, and nothing set aside to choose another.
    study.search.multiples = (1.0,)
    study.validation = 0.0
    study.samples.num = 50_000
    study.samples.features = "inception"
    return study


def _dataset(task):
    # Mirrored images would have another label, or be impossible.
    mirrored = {} if task.flip == "safe" else {"data": {"flip": False}}
    return dataset(f"configs/vtab_{task.short}.py", task.id, mirrored)
