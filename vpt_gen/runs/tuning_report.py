"""Adaptation measured: now and then while it runs, and in full when it is done."""

import dataclasses
import json
import shlex
from typing import Any, cast

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from vpt_gen.evaluation import report
from vpt_gen.evaluation.features import Extractor
from vpt_gen.evaluation.figures import (
    HIGHER_IS_BETTER,
    Found,
    draw,
)
from vpt_gen.evaluation.image_sets import (
    ImageSet,
    judge_images,
    real_sets,
    tapped,
)
from vpt_gen.evaluation.perceptual_diversity import find_perceptual, first_of_classes
from vpt_gen.evaluation.pixel_distance import PixelDistance
from vpt_gen.evaluation.reconstructed import reconstructed
from vpt_gen.evaluation.spaces import open_space
from vpt_gen.evaluation.yardstick import Measured, Yardstick
from vpt_gen.images import grids
from vpt_gen.machine import distributed
from vpt_gen.machine.files import write_text
from vpt_gen.machine.progress import say
from vpt_gen.runs.experiment import Experiment
from vpt_gen.runs.generation import even_class_ids, plain_generation
from vpt_gen.runs.opened import TunedRun
from vpt_gen.runs.samples import Sampler
from vpt_gen.training.clock import training_seconds
from vpt_gen.training.loop import Measurement
from vpt_gen.training.state import TrainState, initial_state

_GRID_COLUMNS = 10


class TuningReport:
    """Measures what a run draws against its real images, always in the same way."""

    def __init__(self, config: ConfigDict, experiment: Experiment, workdir: str, mesh: Mesh):
        """Opens the feature space; nothing is drawn or written yet.

        Args:
          config: of the run, with `evaluation.num_samples` above 0.
          experiment: its parts.
          workdir: of the run.
          mesh: devices.

        Raises:
          UserError: weights of the feature space that are damaged or cannot be fetched.
        """
        self._config, self._experiment, self._workdir = config, experiment, workdir
        self._mesh = mesh
        self._sampler = cast(Sampler, experiment.sampler)  # That of a method.
        tokenizer, evaluation = experiment.nets["tokenizer"], config.evaluation
        space = open_space(
            evaluation.features, evaluation.weights_dir, tokenizer, config.data.image_size
        )
        self._yardstick = Yardstick(
            Extractor(space, mesh),
            *real_sets(config, experiment.train_source, experiment.eval_source),
            config.seed,
            find_perceptual(evaluation.weights_dir),
            judge_images(config),
        )

        self._latest: tuple[Any, _Taken] | None = None

    @property
    def measurement(self) -> Measurement | None:
        """What the training loop does now and then; None where `evaluation.every` is 0."""
        every = self._config.evaluation.every
        return Measurement(every, self._figures, HIGHER_IS_BETTER) if every else None

    def write(self, state: TrainState) -> None:
        """Prints the table, and writes `metrics.json` and two grids into the workdir.

        Args:
          state: after the last update.
        """
        params = state.params
        config, folder = self._config, epath.Path(self._workdir)
        untuned, tuned = None, self._take(params)
        if config.evaluation.baselines:
            before = initial_state(self._experiment.task, config.seed, self._mesh).params
            untuned = self._take(before)
        images = self._images(params, config.num_steps)
        record = report.make_record(
            tuned.found, report.protocol(self._yardstick, images, self._command())
        )
        if untuned:
            for name, figure in record["figures"].items():
                if value := untuned.found.values.get(name):
                    figure["untuned"] = value.value
        trained, frozen = self._sampler.counts(params)
        counts = {
            "num_samples": len(images),
            "trained_parameters": trained,
            "frozen_parameters": frozen,
            "optimizer_bytes": sum(x.nbytes for x in jax.tree.leaves(state.opt_state)),
            "tuning_seconds": training_seconds(self._workdir),
        }
        metrics: dict[str, float] = {}
        if untuned:
            metrics |= self._agreements(untuned, tuned) | self._pixel_distances(untuned, tuned)
        if not distributed.is_first():
            return
        pictures = {"samples": tuned} | ({"samples_untuned": untuned} if untuned else {})
        for name, taken in pictures.items():
            grids.save_png(folder / f"{name}.png", taken.grid())
        grids.save_strip(folder, tuned.images, tuned.labels)
        # Last, as whoever waits for a run looks for it.
        write_text(folder / "metrics.json", json.dumps({**metrics, **counts, **record}, indent=1))
        say(report.table(record))
        say(_counted(metrics | counts))
        before = " (before tuning: samples_untuned.png)" if untuned else ""
        say(
            f"\nLook at {folder / 'samples.png'}{before}; each figure with its protocol: "
            f"{folder / 'metrics.json'}"
        )

    def _figures(self, params: Any) -> dict[str, float]:
        taken = self._take(params)
        self._latest = params, taken
        return {name: figure.value for name, figure in taken.found.values.items()}

    def _take(self, params: Any) -> "_Taken":
        """Draws and measures; what the loop measured last is not drawn again."""
        if self._latest and self._latest[0] is params:
            return self._latest[1]
        images = self._images(params, step=0)
        pictures: list[np.ndarray] = []
        shown = first_of_classes(images.labels, _GRID_COLUMNS)

        def stream():
            return tapped(images.stream(), shown, pictures)

        measured = self._yardstick.measure(dataclasses.replace(images, stream=stream))
        return _Taken(*measured, pictures, images.labels[shown])

    def _images(self, params: Any, step: int) -> ImageSet:
        """What parameters draw; `step` is for the record alone."""
        config, of = self._config, self._experiment
        run = TunedRun(self._workdir, config, of.facts, step, params, self._sampler, of.nets)
        class_ids = even_class_ids(config.evaluation.num_samples, len(of.facts["class_names"]))
        return plain_generation(run, class_ids, config.seed).image_set(class_counts="even")

    def _agreements(self, untuned: "_Taken", tuned: "_Taken") -> dict[str, float]:
        """Class agreement before, after, and of real images as they are and reconstructed."""
        if "class_agreement" not in tuned.found.values:
            return {}
        agreement = tuned.found.values["class_agreement"]
        metrics = {
            "class_agreement_untuned": untuned.found.values["class_agreement"].value,
            "class_agreement": agreement.value,
        }
        if self._yardstick.train:  # Otherwise the classifier has seen half of the reference.
            given_back = self._yardstick.features_of(self._reconstructed())
            metrics["class_agreement_reconstructed"] = self._yardstick.agreement(given_back)
        assert agreement.floor is not None  # It is measured with every agreement.
        return metrics | {"class_agreement_real": agreement.floor}

    def _pixel_distances(self, untuned: "_Taken", tuned: "_Taken") -> dict[str, float]:
        """Distances from held-out images before, after, and of as many training images."""
        if self._yardstick.train is None or "class_agreement" not in tuned.found.values:
            return {}
        train, held_out = (
            self._yardstick.features_of(images).features
            for images in (self._yardstick.train, self._yardstick.reference)
        )
        if "pixels" not in train.rows:
            return {}
        drawn, _ = draw(train, len(tuned.measured.images), self._config.seed)
        distance = PixelDistance(
            train.rows["pixels"],
            held_out.rows["pixels"],
            self._config.evaluation.num_components,
        )
        of = {
            "frechet_pixels_untuned": untuned.measured.features,
            "frechet_pixels": tuned.measured.features,
            "frechet_pixels_real": drawn,
        }
        return {name: distance(features.rows["pixels"]) for name, features in of.items()}

    def _reconstructed(self) -> ImageSet:
        """The real images of the reference as the tokenizer gives them back."""
        tokenizer, size = self._experiment.nets["tokenizer"], self._config.decode.batch_size
        return reconstructed(tokenizer, self._yardstick.reference, size, self._mesh)

    def _command(self) -> str:
        """What draws and measures the same images once more."""
        evaluation = self._config.evaluation
        values = {
            "checkpoint": self._workdir,
            "weights_dir": evaluation.weights_dir,
            "features": evaluation.features,
            "seed": self._config.seed,
            "step": self._config.num_steps,
            "num": evaluation.num_samples,
            "class_counts": "even",
        }
        given = [f"--{name}={shlex.quote(str(value))}" for name, value in values.items()]
        return " ".join(["python -m vpt_gen.evaluate", *given])


@dataclasses.dataclass(frozen=True)
class _Taken:
    """Figures of images, their features, and the first pictures of each class for a grid."""

    found: Found
    measured: Measured
    pictures: list[np.ndarray]
    labels: np.ndarray

    @property
    def images(self) -> np.ndarray:
        """The pictures (n, H, W, 3) in [0, 1]."""
        return np.stack(self.pictures) / np.float32(255.0)

    def grid(self) -> np.ndarray:
        return grids.class_grid(
            self.images, self.labels, list(self.measured.images.class_names), _GRID_COLUMNS
        )


def _counted(metrics: dict[str, float]) -> str:
    lines = [""]
    if "class_agreement_reconstructed" in metrics:
        agreement = f"{metrics['class_agreement_reconstructed']:>11.4g}"
        about = "real images through the tokenizer: its ceiling"
        lines.append(f"{'class agreement, reconstructed':32}{agreement}   {about}")
    lines += [
        f"{'images generated':32}{metrics['num_samples']:>11,}   unselected",
        f"{'parameters trained':32}{metrics['trained_parameters']:>11,}",
        f"{'parameters frozen':32}{metrics['frozen_parameters']:>11,}",
        f"{'bytes of the optimiser':32}{metrics['optimizer_bytes']:>11,}",
        f"{'seconds of tuning':32}{metrics['tuning_seconds']:>11.0f}",
    ]
    return "\n".join(lines)
