"""After prompt tuning: generates before and after, and measures both against real images."""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from vpt_gen.compatibility import load_backbone, tokens_per_image
from vpt_gen.data import pipeline
from vpt_gen.data.batches import image_spec
from vpt_gen.data.source import Source
from vpt_gen.evaluation import report
from vpt_gen.evaluation.real import RealImages
from vpt_gen.experiment import Experiment, decode_options
from vpt_gen.sampler import Sampler, class_bank
from vpt_gen.training.clock import training_seconds
from vpt_gen.training.state import initial_state

MAX_REAL_IMAGES = 10_000


def report_tuning(
    config: ConfigDict, experiment: Experiment, params: Any, workdir: str, mesh: Mesh
) -> None:
    """Prints the table and writes `metrics.json` and grids into `workdir`.

    Args:
      config: of the prompt-tuning run.
      experiment: its parts.
      params: the tuned parameters of the prompt generator.
      workdir: of the run.
      mesh: devices.
    """
    vqgan, backbone = load_backbone(config)
    sampler = Sampler(
        experiment.net,
        backbone.net,
        vqgan.net,
        experiment.task.frozen,
        tokens_per_image(vqgan.net, config.data.image_size),
        decode_options(config),
        config.decode.batch_size,
        mesh,
    )
    class_names = experiment.facts["class_names"]
    class_ids = np.arange(config.evaluation.num_samples) % len(class_names)
    untuned_params = initial_state(experiment.task, config.seed, mesh).params
    untuned = sampler.sample(untuned_params, class_bank(class_ids), config.seed)
    tuned = sampler.sample(params, class_bank(class_ids), config.seed)

    train = _load(config, experiment.train_source)
    held_out = _load(config, experiment.eval_source)
    encode = jax.jit(lambda x: vqgan.net.apply({"params": vqgan.params}, x)[0])
    size = config.decode.batch_size
    parts = [held_out[0][i : i + size] for i in range(0, len(held_out[0]), size)]
    reconstructed = np.concatenate([np.clip(encode(x), 0.0, 1.0) for x in parts])
    report.write(
        workdir,
        RealImages(train, held_out, config.evaluation.num_components, len(class_ids), config.seed),
        untuned,
        tuned,
        (reconstructed, held_out[1]),
        class_names,
        {
            "trainable_parameters": count(params),
            "frozen_parameters": count(experiment.task.frozen),
            "tuning_seconds": training_seconds(workdir),
        },
    )


def count(params: Any) -> int:
    """Number of parameters in a tree."""
    return sum(x.size for x in jax.tree.leaves(params))


def _load(config: ConfigDict, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Up to `MAX_REAL_IMAGES` images, drawn evenly from the source, and their labels."""
    if len(source) > MAX_REAL_IMAGES:
        source = source.subset(np.linspace(0, len(source) - 1, MAX_REAL_IMAGES).astype(int))
    batches = list(
        pipeline.eval_batches(source, image_spec(config.data), batch_size=config.batch_size)
    )
    return tuple(np.concatenate([b[name] for b in batches]) for name in ("image", "label"))
