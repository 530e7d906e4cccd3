"""Results of an adaptation: `metrics.json`, grids of samples, and a table."""

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from vpt_gen import cli
from vpt_gen.evaluation import report
from vpt_gen.evaluation.pixel_distance import PixelDistance
from vpt_gen.evaluation.reconstructed import reconstructed
from vpt_gen.evaluation.yardstick import Yardstick, draw
from vpt_gen.images import grids
from vpt_gen.machine import distributed
from vpt_gen.machine.manifest import Manifest
from vpt_gen.machine.progress import say
from vpt_gen.runs.experiment import Experiment
from vpt_gen.runs.measured import Drawn, Measurer
from vpt_gen.training.clock import training_seconds
from vpt_gen.training.state import TrainState, initial_state

_SAMPLES, _UNTUNED = "samples.png", "samples_untuned.png"


def open_manifest(workdir: str, config: ConfigDict) -> Manifest:
    """Returns what writes the results of a run; see `Manifest`."""
    pictures = [_SAMPLES, grids.STRIP, *([_UNTUNED] if config.evaluation.baselines else [])]
    return report.open_manifest(epath.Path(workdir), pictures, "--workdir")


def write_results(
    measurer: Measurer,
    config: ConfigDict,
    experiment: Experiment,
    state: TrainState,
    workdir: str,
    mesh: Mesh,
) -> None:
    """Measures a finished run, and writes and prints the results.

    Args:
      measurer: of the run.
      config: its config.
      experiment: its parts.
      state: after the last update.
      workdir: folder of the results.
      mesh: devices.
    """
    untuned, tuned = None, measurer.draw(state.params)
    if config.evaluation.baselines:
        untuned = measurer.draw(initial_state(experiment.task, config.seed, mesh).params)
    yardstick, images = measurer.yardstick, measurer.images(state.params, config.num_steps)
    record = report.make_record(
        tuned.found, report.protocol(yardstick, images, _command(config, workdir))
    )
    compared = {}
    if untuned:
        for name, figure in record["figures"].items():
            if value := untuned.found.values.get(name):
                figure["untuned"] = value.value
        if "class_agreement" in tuned.found.values:
            batch_size, tokenizer = config.decode.batch_size, experiment.nets["tokenizer"]
            given_back = reconstructed(tokenizer, yardstick.reference, batch_size, mesh)
            compared = _agreements(yardstick, untuned, tuned, given_back)
            compared |= _pixel_distances(yardstick, untuned, tuned, config)
    if not distributed.is_first():
        return
    counts = {"num_samples": len(images)} | _counts(experiment, state, workdir)
    folder = epath.Path(workdir)
    manifest = open_manifest(workdir, config)
    manifest.begin()
    manifest.write({name: grids.as_png(p) for name, p in _pictures(untuned, tuned).items()})
    # Written last, as programs that wait for a run look for it.
    manifest.finish({**compared, **counts, **record})
    say(report.table(record))
    say(_counted(compared | counts))
    before = f" (before tuning: {_UNTUNED})" if untuned else ""
    say(
        f"\nLook at {folder / _SAMPLES}{before}; each figure with its protocol: "
        f"{folder / report.METRICS}"
    )


def _command(config: ConfigDict, workdir: str) -> str:
    """Returns the command that draws and measures the same images again."""
    values = {
        "checkpoint": workdir,
        "weights_dir": config.evaluation.weights_dir,
        "features": config.evaluation.features,
        "seed": config.seed,
        "step": config.num_steps,
        "num": config.evaluation.num_samples,
        "class_counts": "even",
    }
    return cli.spelled("vpt_gen.evaluate", values)


def _agreements(yardstick: Yardstick, untuned: Drawn, tuned: Drawn, given_back) -> dict[str, float]:
    """Returns class agreement before, after, and of real images, original and reconstructed."""
    agreement = tuned.found.values["class_agreement"]
    metrics = {
        "class_agreement_untuned": untuned.found.values["class_agreement"].value,
        "class_agreement": agreement.value,
    }
    if yardstick.train:  # Otherwise the classifier has seen half of the reference.
        measured = yardstick.features_of(given_back)
        metrics["class_agreement_reconstructed"] = yardstick.agreement(measured)
    assert agreement.floor is not None  # Measured together with every agreement.
    return metrics | {"class_agreement_real": agreement.floor}


def _pixel_distances(
    yardstick: Yardstick, untuned: Drawn, tuned: Drawn, config: ConfigDict
) -> dict[str, float]:
    """Returns distances from held-out images before, after, and of as many training images."""
    if yardstick.train is None:
        return {}
    train, held_out = (
        yardstick.features_of(images).features for images in (yardstick.train, yardstick.reference)
    )
    if "pixels" not in train.rows:
        return {}
    drawn, _ = draw(train, len(tuned.measured.images), config.seed)
    components = config.evaluation.num_components
    distance = PixelDistance(train.rows["pixels"], held_out.rows["pixels"], components)
    of = {
        "frechet_pixels_untuned": untuned.measured.features,
        "frechet_pixels": tuned.measured.features,
        "frechet_pixels_real": drawn,
    }
    return {name: distance(features.rows["pixels"]) for name, features in of.items()}


def _counts(experiment: Experiment, state: TrainState, workdir: str) -> dict[str, float]:
    trained, frozen = experiment.drawer.counts(experiment.exported(state.params))
    counts: dict[str, float] = {
        "trained_parameters": trained,
        "frozen_parameters": frozen,
        "optimizer_bytes": sum(x.nbytes for x in jax.tree.leaves(state.opt_state)),
    }
    seconds = training_seconds(workdir)
    return counts if seconds is None else {**counts, "tuning_seconds": seconds}


def _pictures(untuned: Drawn | None, tuned: Drawn) -> dict[str, np.ndarray]:
    pictures = {_SAMPLES: tuned.grid(), grids.STRIP: grids.strip(tuned.images, tuned.labels)}
    return pictures | ({_UNTUNED: untuned.grid()} if untuned else {})


def _counted(metrics: dict[str, float]) -> str:
    lines = [""]
    if "class_agreement_reconstructed" in metrics:
        agreement = f"{metrics['class_agreement_reconstructed']:>11.4g}"
        about = "real images through the tokenizer: the best it allows"
        lines.append(f"{'class agreement, reconstructed':32}{agreement}   {about}")
    lines += [
        f"{'images generated':32}{metrics['num_samples']:>11,}   unselected",
        f"{'parameters trained':32}{metrics['trained_parameters']:>11,}",
        f"{'parameters frozen':32}{metrics['frozen_parameters']:>11,}",
        f"{'bytes of the optimizer':32}{metrics['optimizer_bytes']:>11,}",
    ]
    if "tuning_seconds" in metrics:
        lines.append(f"{'seconds of tuning':32}{metrics['tuning_seconds']:>11.0f}")
    return "\n".join(lines)
