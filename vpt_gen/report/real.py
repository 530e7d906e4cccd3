"""The real images that samples are laid beside: found by features, shown as they are."""

import dataclasses
import functools

import numpy as np

from vpt_gen.data import pipeline
from vpt_gen.data.batches import open_sources
from vpt_gen.data.pipeline import ImageSpec
from vpt_gen.data.source import Source
from vpt_gen.errors import UserError
from vpt_gen.evaluation.classifier import FeatureClassifier
from vpt_gen.evaluation.feature_cache import features_of
from vpt_gen.evaluation.features import Extractor, tokenizer_space
from vpt_gen.evaluation.image_sets import real_sets
from vpt_gen.evaluation.neighbors import Nearest, nearest
from vpt_gen.images.codec import to_uint8
from vpt_gen.runs.opened import TunedRun

Rows = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class RealImages:
    """A run's real images, in the feature space of its tokenizer.

    Attributes:
      run: the run.
      train: the examples that its prompts were tuned on; here without augmentation.
      held_out: those kept from them, or None.
    """

    run: TunedRun
    train: Source
    held_out: Source | None

    @functools.cached_property
    def extractor(self) -> Extractor:
        """Of the feature space."""
        space = tokenizer_space(self.run.tokenizer, self.run.config.data.image_size)
        return Extractor(space, self.run.sampler.mesh)

    def rows(self, images: np.ndarray) -> Rows:
        """Images (n, H, W, 3) in [0, 1] -> each feature (n, d)."""
        batches = list(self.extractor.stream([to_uint8(images)]))
        return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}

    @functools.cached_property
    def _features(self):
        """Of the training images and of the held-out ones, or None."""
        reference, train = real_sets(self.run.config, self.train, self.held_out)
        if train is None:
            return features_of(self.extractor, reference), None
        return features_of(self.extractor, train), features_of(self.extractor, reference)

    @property
    def train_rows(self) -> Rows:
        """Each feature (n, d) of the training images that are searched."""
        return self._features[0].rows

    @property
    def searched(self) -> np.ndarray:
        """(n,) which training images these are: all, as a rule."""
        return self._features[0].indices

    @property
    def held_out_rows(self) -> Rows | None:
        """Each feature (n, d) of held-out images; None where there are none."""
        return None if self.held_out is None else self._features[1].rows

    @property
    def held_out_labels(self) -> np.ndarray:
        """(n,) of these, where there are any."""
        assert self.held_out is not None
        return self.held_out.labels[self._features[1].indices]

    def nearest(self, rows: Rows) -> Nearest:
        """The nearest training image of each of some images."""
        near = self.extractor.space.near
        found = nearest(rows[near], self.train_rows[near])
        return found._replace(indices=self.searched[found.indices])

    @functools.cached_property
    def classifier(self) -> FeatureClassifier | None:
        """Trained on the training images; None where they are of one class."""
        labels = self.train.labels[self.searched]
        if len(np.unique(labels)) < 2:
            return None
        return FeatureClassifier.fit_pixels(self.train_rows[self.extractor.space.classes], labels)

    def pictures(self, source: Source, indices: np.ndarray) -> np.ndarray:
        """Images (n, R, R, 3) in [0, 1] of a source, squared as in training."""
        data = self.run.config.data
        plain = ImageSpec(data.image_size, data.fit)
        views = pipeline.view_stream(source, plain, np.asarray(indices, np.int64), views=1, seed=0)
        return np.concatenate(list(views))


def open_real(run: TunedRun) -> RealImages:
    """The real images of a run.

    Raises:
      UserError: data that are missing, or not those that it was trained on.
    """
    train, held_out = open_sources(run.config)
    if train.digest != run.facts["data"]:
        raise UserError(
            f"The data of {run.workdir} has changed since its training ({train.name}: digest "
            f"{run.facts['data'][:12]} then, {train.digest[:12]} now): bring back what it was, or "
            "train anew."
        )
    names = tuple(run.facts["class_names"])
    if len(names) < train.num_classes:
        # MineGAN's miner is told no classes: its images are compared with all.
        train = _as_one_class(train, names)
        held_out = held_out and _as_one_class(held_out, names)
    return RealImages(run, train, held_out)


def _as_one_class(source: Source, names: tuple[str, ...]) -> Source:
    return dataclasses.replace(source, labels=0 * source.labels, class_names=names)
