"""From a config to an experiment: nets, task and batches."""

import dataclasses

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from vpt_gen.data.batches import open_sources
from vpt_gen.errors import UserError
from vpt_gen.evaluation.metrics import FIGURES, names_in
from vpt_gen.machine import sharding
from vpt_gen.methods import METHODS
from vpt_gen.runs.experiment import Experiment
from vpt_gen.runs.pretraining import PRETRAINING
from vpt_gen.runs.sources import adapting
from vpt_gen.training.average import average_of, averaged


def make_experiment(config: ConfigDict, workdir: str, mesh: Mesh) -> Experiment:
    """Builds the run that a checked config describes; writes nothing.

    Raises:
      UserError: data, backbone, image size or batch size that do not work.
    """
    sharding.check_batch_size(config.batch_size, mesh, config.get("accumulate", 1))
    experiment = PRETRAINING.get(config.task, _adaptation)(config, workdir, mesh)
    if config.get("ema"):
        experiment = _averaged(experiment, config.ema)
    try:
        jax.eval_shape(experiment.task.init, jax.random.key(0))
    except (AssertionError, LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"The net that the config describes cannot be built: {str(error).splitlines()[0]}"
        ) from error
    if config.best_metric:
        _check_best_metric(config, experiment)
    return experiment


def _adaptation(config: ConfigDict, workdir: str, mesh: Mesh) -> Experiment:
    make = adapting(config)
    # First, so that a wrong path of the data does not wait for weights that are fetched.
    train_source, eval_source = open_sources(config)
    nets = make.load_nets(config, mesh)
    facts = {
        **make.make_facts(config, train_source, eval_source),
        "data": train_source.digest,
        **{name: net.digest for name, net in nets.items()},
    }
    # First, as it checks that the method can use the nets.
    sampler = make.make_sampler(config, nets, facts, mesh)
    return Experiment(
        make.make_task(config, nets, facts, sampler),
        nets[METHODS[config.task].source].net,
        train_source,
        eval_source,
        *make.make_batches(config, workdir, mesh, train_source, eval_source, nets),
        facts,
        nets=nets,
        sampler=sampler,
    )


def _averaged(experiment: Experiment, decay: float) -> Experiment:
    """Adds a moving average of the parameters, which replaces them outside of training."""
    return dataclasses.replace(
        experiment,
        task=averaged(experiment.task, decay),
        exported=lambda params: experiment.exported(average_of(params)),
    )


def _check_best_metric(config: ConfigDict, experiment: Experiment) -> None:
    figures = []
    if config.task in METHODS and config.evaluation.every:
        figures = names_in(config.evaluation.features, config.evaluation.also)
    if config.best_metric in figures:
        if FIGURES[config.best_metric].better not in ("lower", "higher"):
            raise UserError(
                f"config.best_metric {config.best_metric!r} has its best value neither where it is "
                "lowest nor where it is highest; choose another metric, or set it to ''."
            )
        if experiment.eval_source is None and FIGURES[config.best_metric].copied:
            raise UserError(
                f"config.best_metric {config.best_metric!r} would choose the best copies of the "
                "images trained on, as nothing is held out; raise config.data.holdout, or set it "
                "to ''."
            )
        return
    if experiment.eval_batches is None:
        raise UserError(
            "config.best_metric needs held-out examples; raise config.data.holdout or set it to ''."
        )
    key = jax.random.key(0)
    side = config.data.image_size
    batch = {"image": np.zeros((1, side, side, 3), np.float32), "label": np.zeros(1, np.int32)}
    params = jax.eval_shape(experiment.task.init, key).params
    metrics = jax.eval_shape(experiment.task.eval_step, params, experiment.task.frozen, batch, key)
    known = [*(sorted(metrics) if config.eval_every else []), *figures]
    if config.best_metric not in known:
        raise UserError(
            f"config.best_metric is {config.best_metric!r}; this task's evaluation measures "
            f"{', '.join(known)}."
        )
