"""`python -m vpt_gen.main --config=configs/demo.py`: trains what the config names.

A run that was interrupted goes on when the same command is given again.
"""

import dataclasses
import pathlib
import sys

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from vpt_gen import sharding
from vpt_gen.checkpoints.backbone import save_net
from vpt_gen.checkpoints.store import claim_workdir
from vpt_gen.config import check_config
from vpt_gen.errors import UserError, report_user_errors
from vpt_gen.experiment import Experiment, make_experiment
from vpt_gen.progress import say
from vpt_gen.training import loop
from vpt_gen.tuning_report import report_tuning

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "The experiment: a file of configs/.", lock_config=True
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Where the run lives; by default runs/<name of the config>."
)


def run(config, workdir: str) -> None:
    """Trains, exports a pretrained net, and reports, as the config asks."""
    check_config(config)
    if jax.process_count() > 1:
        raise UserError("Several processes are not supported yet; use the devices of one host.")
    mesh = sharding.make_mesh()
    experiment = make_experiment(config, workdir, mesh)
    claim_workdir(workdir, config.to_dict(), experiment.facts)
    state = loop.train(
        experiment.task,
        loop.LoopOptions(**{f.name: config[f.name] for f in dataclasses.fields(loop.LoopOptions)}),
        workdir,
        experiment.train_batches,
        experiment.eval_batches,
        mesh,
    )
    if config.task != "prompts":
        _export(config, experiment, state.params, workdir)
        return
    if config.evaluation.num_samples:
        report_tuning(config, experiment, state.params, workdir, mesh)
    say(f"Generate more: python -m vpt_gen.sample --checkpoint={workdir} --num=20")


def _export(config, experiment: Experiment, params, workdir: str) -> None:
    """Saves the trained net as a backbone for the tasks that build on it."""
    path = pathlib.Path(workdir) / "net"
    params = params["vqgan"] if config.task == "tokenizer" else params
    about = {"config": config.to_dict(), **experiment.facts}
    digest = save_net(str(path), experiment.net, jax.device_get(params), about)
    say(f"Wrote the trained {config.task} to {path} (digest {digest[:12]}).")


def main(argv):
    """Entry point; flags are checked by `parse_flags`."""
    # Orbax tells every step of every save, and its errors twice: they are raised, too.
    logging.set_verbosity(logging.FATAL)
    if len(argv) > 1:
        raise UserError(f"Unexpected argument {argv[1]!r}; fields are set as --config.name=value.")
    name = pathlib.Path(config_flags.get_config_filename(flags.FLAGS["config"])).stem
    workdir = _WORKDIR.value or str(pathlib.Path("runs") / name)
    run(_CONFIG.value, workdir)


def parse_flags(argv):
    """Parses as absl does, with one sentence for a config that is missing or has no such field."""
    given = [a.removeprefix("--config=") for a in argv if a.startswith("--config=")]
    if given and not pathlib.Path(given[-1].split(":")[0]).is_file():
        raise UserError(f"Config file {given[-1]} does not exist; configs/ holds those there are.")
    try:
        rest = app.parse_flags_with_usage(argv)
        if _CONFIG.value is None:
            raise UserError("No --config given; name a file of configs/, such as configs/demo.py.")
    except (AttributeError, KeyError) as error:
        fields = [a.removeprefix("--") for a in argv if a.startswith("--config.")]
        names = ", ".join(field.split("=")[0] for field in fields)
        if not fields:
            reason = str(error).strip("'").splitlines()[0]
            raise UserError(f"The config file sets a field that is not there: {reason}") from error
        field = str(error).strip("\"'")
        raise UserError(
            f"Unknown config field {field!r} among {names}; the config file and "
            "vpt_gen/config.py show the fields there are."
        ) from error
    return rest


if __name__ == "__main__":
    sys.exit(report_user_errors(lambda: app.run(main, flags_parser=parse_flags)))
