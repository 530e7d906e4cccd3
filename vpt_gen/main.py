"""`python -m vpt_gen.main --config=configs/demo.py`: trains what the config names.

A run that was interrupted goes on when the same command is given again.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import jax
from absl import flags

from vpt_gen import cli
from vpt_gen.checkpoints.backbone import save_net
from vpt_gen.checkpoints.store import claim_workdir
from vpt_gen.config import flag
from vpt_gen.config.check import check_config
from vpt_gen.config.fields import METHODS
from vpt_gen.config.migration import migrate
from vpt_gen.errors import UserError
from vpt_gen.machine import (
    distributed,
    sharding,
)
from vpt_gen.machine.files import in_bucket
from vpt_gen.machine.progress import say
from vpt_gen.runs.build import make_experiment
from vpt_gen.runs.experiment import Experiment
from vpt_gen.runs.tuning_report import TuningReport
from vpt_gen.training import loop


def run(config, workdir: str, devices: Sequence[jax.Device] | None = None) -> None:
    """Trains, exports a pretrained net, and reports, as the config asks.

    Args:
      config: of the run.
      workdir: where the run lives.
      devices: that share the work; None for all.
    """
    check_config(config)
    adapts = config.task in METHODS
    if not adapts and in_bucket(workdir):
        raise UserError(
            f"Pretraining leaves its net in the working directory, so {workdir} must be a folder."
        )
    mesh = sharding.make_mesh(devices, [config.mesh[axis] for axis in sharding.AXES])
    experiment = make_experiment(config, workdir, mesh)
    report = None
    if adapts and config.evaluation.num_samples:
        report = TuningReport(config, experiment, workdir, mesh)
    claim_workdir(workdir, config.to_dict(), experiment.facts, migrate)
    state = loop.train(
        experiment.task,
        loop.LoopOptions(**{f.name: config[f.name] for f in dataclasses.fields(loop.LoopOptions)}),
        workdir,
        experiment.train_batches,
        experiment.eval_batches,
        mesh,
        report and report.measurement,
    )
    if not adapts:
        _export(config, experiment, state.params, workdir)
        return
    if report:
        report.write(state)
    say(f"Generate more: python -m vpt_gen.sample --checkpoint={workdir} --num=20")


def _export(config, experiment: Experiment, params, workdir: str) -> None:
    """Saves the trained net as a backbone for the tasks that build on it."""
    path = pathlib.Path(workdir) / "net"
    params = experiment.exported(distributed.to_host(params))
    about = {"config": config.to_dict(), **experiment.facts}
    if distributed.is_first():
        digest = save_net(str(path), experiment.net, params, about)
        say(f"Wrote the trained {config.task} to {path} (digest {digest[:12]}).")


def define_flags() -> None:
    """The command line; not at import, so that programs can share a process."""
    flag.define()
    flags.DEFINE_string(
        "workdir", None, "Where the run lives; by default runs/<name of the config>."
    )
    distributed.define_flags()


def main():
    """Runs the program; its flags are parsed."""
    distributed.start()
    run(flags.FLAGS.config, flags.FLAGS.workdir or cli.default_workdir())
    distributed.wait_for_all("the end")


if __name__ == "__main__":
    cli.run(main, define_flags)
