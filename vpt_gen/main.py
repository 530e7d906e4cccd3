"""`python -m vpt_gen.main --config=configs/demo.py`: trains by a config.

The same command resumes an interrupted run.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

from absl import flags
from etils import epath

from vpt_gen import cli
from vpt_gen.config import flag
from vpt_gen.errors import UserError
from vpt_gen.machine import distributed, later, lock, network
from vpt_gen.machine.files import check_writable, in_bucket
from vpt_gen.machine.progress import say

with later.imports(globals()):
    import jax

    from vpt_gen.checkpoints import store
    from vpt_gen.checkpoints.backbone import check_replaceable, save_net
    from vpt_gen.checkpoints.claim import claim_workdir
    from vpt_gen.config.check import check_config, check_stages
    from vpt_gen.config.fields import METHODS
    from vpt_gen.config.migration import migrate
    from vpt_gen.machine import sharding
    from vpt_gen.runs.build import make_experiment
    from vpt_gen.runs.experiment import Experiment
    from vpt_gen.runs.measured import Measurer
    from vpt_gen.runs.results import open_manifest, write_results
    from vpt_gen.training import loop


def run(config, workdir: str, devices: Sequence[jax.Device] | None = None) -> None:
    """Trains, exports a pretrained net, and reports, depending on the config.

    Args:
      config: of the run.
      workdir: where the run lives.
      devices: that share the work; None for all.
    """
    check_config(config)
    check_stages(config)
    check_writable(epath.Path(workdir) / store.CONFIG_FILE, "--workdir")
    if config.task not in METHODS:
        if in_bucket(workdir):
            raise UserError(
                f"Pretraining writes its net to the working directory, so {workdir} must be a "
                "folder."
            )
        check_replaceable(_net_of(workdir))
    with lock.held_for_all(workdir, "--workdir"):
        _run(config, workdir, devices)


def _run(config, workdir: str, devices: Sequence[jax.Device] | None) -> None:
    """Runs a checked config in a folder that nobody else writes to."""
    adapts = config.task in METHODS
    mesh = sharding.make_mesh(devices, [config.mesh[axis] for axis in sharding.AXES])
    experiment = make_experiment(config, workdir, mesh)
    measurer = None
    if adapts and config.evaluation.num_samples:
        open_manifest(workdir, config)  # Checked before anything is drawn.
        measurer = Measurer(config, experiment, workdir, mesh)
    facts = {**experiment.facts, store.NUM_IMAGES: experiment.num_images}
    # Nothing else depends on the end of a run at a constant rate, which may be found on the way.
    endless = not adapts and config.get("optimizer", {}).get("schedule") == "constant"
    may_change = ("num_steps",) if endless else ()
    claim_workdir(workdir, config.to_dict(), facts, migrate, may_change)
    state = loop.train(
        experiment.task,
        loop.LoopOptions(**{f.name: config[f.name] for f in dataclasses.fields(loop.LoopOptions)}),
        workdir,
        experiment.train_batches,
        experiment.eval_batches,
        mesh,
        measurer.measurement if measurer else None,
    )
    if not adapts:
        _export(config, experiment, state.params, workdir)
        return
    if measurer:
        write_results(measurer, config, experiment, state, workdir, mesh)
    say(f"Generate more: python -m vpt_gen.sample --checkpoint={workdir} --num=20")


def _export(config, experiment: Experiment, params, workdir: str) -> None:
    """Saves the trained net as a backbone for other tasks."""
    path = _net_of(workdir)
    params = experiment.exported(distributed.to_host(params))
    about = {"config": config.to_dict(), **experiment.facts}
    if distributed.is_first():
        digest = save_net(path, experiment.net, params, about)
        say(f"Wrote the trained {config.task} to {path} (digest {digest[:12]}).")


def _net_of(workdir: str) -> str:
    """Returns where pretraining writes its net."""
    return str(pathlib.Path(workdir) / "net")


def define_flags() -> None:
    """Defines the flags; not at import, so that programs can share a process."""
    flag.define()
    flags.DEFINE_string("workdir", None, "Folder of the run; by default runs/<name of the config>.")
    distributed.define_flags()
    network.define_flags()


def main():
    """Runs the program; its flags are parsed."""
    distributed.start()
    run(flags.FLAGS.config, flags.FLAGS.workdir or cli.default_workdir())
    distributed.wait_for_all("the end")


if __name__ == "__main__":
    cli.run(main, define_flags)
