"""Measures images of an adaptation against real images, during training and at its end."""

import dataclasses
from typing import Any

import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from vpt_gen.checkpoints import arrival
from vpt_gen.checkpoints.backbone import TOKENIZERS, PretrainedNet, load_net
from vpt_gen.evaluation.features import Extractor
from vpt_gen.evaluation.figures import Found
from vpt_gen.evaluation.image_sets import ImageSet, judge_images, real_sets
from vpt_gen.evaluation.measure import measure
from vpt_gen.evaluation.metrics import FIGURES, check_requested
from vpt_gen.evaluation.perceptual_diversity import find_perceptual, first_of_classes
from vpt_gen.evaluation.spaces import open_space
from vpt_gen.evaluation.yardstick import Measured, Yardstick
from vpt_gen.images import grids
from vpt_gen.machine.progress import say
from vpt_gen.runs.experiment import Experiment
from vpt_gen.runs.generation import even_class_ids, plain_generation, undrawn
from vpt_gen.runs.opened import TunedRun
from vpt_gen.training.loop import Measurement

_GRID_COLUMNS = 10
_HIGHER_IS_BETTER = frozenset(name for name, of in FIGURES.items() if of.better == "higher")


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Drawn and measured images.

    Attributes:
      found: their figures.
      measured: the set with its features.
      pictures: the first of each class, uint8 (H, W, 3).
      labels: (n,) of `pictures`.
    """

    found: Found
    measured: Measured
    pictures: list[np.ndarray]
    labels: np.ndarray

    @property
    def images(self) -> np.ndarray:
        """The pictures (n, H, W, 3) in [0, 1]."""
        return np.stack(self.pictures) / np.float32(255.0)

    def grid(self) -> np.ndarray:
        """Returns the pictures, one labeled row per class."""
        names = list(self.measured.images.class_names)
        return grids.class_grid(self.images, self.labels, names, _GRID_COLUMNS)


def measuring_tokenizer(config: ConfigDict, own: PretrainedNet) -> PretrainedNet:
    """Returns the tokenizer in whose features a run's images are measured.

    Args:
      config: of the run, an adaptation.
      own: the run's tokenizer.

    Raises:
      UserError: there is no such tokenizer.
    """
    path = config.evaluation.tokenizer
    return load_net(arrival.directory(path), *TOKENIZERS) if path else own


class Measurer:
    """Draws images from a run's parameters and measures them, always in the same way."""

    def __init__(self, config: ConfigDict, experiment: Experiment, workdir: str, mesh: Mesh):
        """Opens the feature space; draws nothing yet.

        Args:
          config: of the run, with `evaluation.num_samples` above 0.
          experiment: its parts.
          workdir: of the run.
          mesh: devices.

        Raises:
          UserError: feature weights that are damaged or cannot be fetched, or an unknown figure.
        """
        self._config, self._experiment, self._workdir = config, experiment, workdir
        evaluation = config.evaluation
        check_requested(evaluation.also, evaluation.features, "config.evaluation.also")
        tokenizer = measuring_tokenizer(config, experiment.nets["tokenizer"])
        cure = "Raise config.evaluation.num_samples to draw all classes."
        if told := undrawn(self._class_ids, experiment.facts["class_names"], cure):
            say(told)
        side = config.data.image_size
        space = open_space(evaluation.features, evaluation.weights_dir, tokenizer, side)
        self.yardstick = Yardstick(
            Extractor(space, mesh),
            *real_sets(config, experiment.train_source, experiment.eval_source),
            config.seed,
            find_perceptual(evaluation.weights_dir),
            judge_images(config),
            frozenset(evaluation.also),
        )
        self._latest: tuple[Any, Drawn] | None = None

    @property
    def measurement(self) -> Measurement | None:
        """Returns the training loop's measurement; None if `evaluation.every` is 0."""
        every = self._config.evaluation.every
        return Measurement(every, self._figures, _HIGHER_IS_BETTER) if every else None

    def _figures(self, params: Any) -> dict[str, float]:
        drawn = self.draw(params)
        self._latest = params, drawn
        return {name: figure.value for name, figure in drawn.found.values.items()}

    def draw(self, params: Any) -> Drawn:
        """Draws and measures; reuses the loop's last measurement."""
        if self._latest and self._latest[0] is params:
            return self._latest[1]
        images = self.images(params, step=0)
        shown = first_of_classes(images.labels, _GRID_COLUMNS)
        found, measured = measure(self.yardstick, images, shown)
        return Drawn(found, measured, measured.pictures_of(shown), images.labels[shown])

    def images(self, params: Any, step: int) -> ImageSet:
        """Returns the images of parameters in training; `step` is only for the record."""
        config, of = self._config, self._experiment
        drawn = of.exported(params)
        run = TunedRun(self._workdir, config, of.facts, step, drawn, of.drawer, of.nets)
        return plain_generation(run, self._class_ids, config.seed).image_set(class_counts="even")

    @property
    def _class_ids(self) -> np.ndarray:
        """The classes (n,) of the images, evenly."""
        num_classes = len(self._experiment.facts["class_names"])
        return even_class_ids(self._config.evaluation.num_samples, num_classes)
