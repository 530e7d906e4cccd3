"""The real images to compare samples with: found by features, shown unchanged."""

import dataclasses
import functools

import numpy as np

from vpt_gen.data import pipeline
from vpt_gen.data.batches import evaluation_name, open_sources
from vpt_gen.data.pipeline import ImageSpec
from vpt_gen.data.source import Source
from vpt_gen.errors import UserError
from vpt_gen.evaluation.classifier import FeatureClassifier
from vpt_gen.evaluation.feature_cache import features_of
from vpt_gen.evaluation.features import Extractor
from vpt_gen.evaluation.image_sets import real_sets
from vpt_gen.evaluation.neighbors import Nearest, nearest
from vpt_gen.evaluation.spaces import open_space
from vpt_gen.images.codec import to_uint8
from vpt_gen.runs.opened import TunedRun

Rows = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class RealImages:
    """A run's real images, in the photos classifier's features or those of its tokenizer.

    Attributes:
      run: the run.
      train: the training examples, here without augmentation.
      held_out: the held-out examples, or None.
    """

    run: TunedRun
    train: Source
    held_out: Source | None

    @functools.cached_property
    def extractor(self) -> Extractor:
        """The extractor of the feature space."""
        config = self.run.config
        # The nets of other spaces take too long for a page.
        name = "photos" if config.evaluation.features == "photos" else "tokenizer"
        space = open_space(name, "", self.run.tokenizer, config.data.image_size)
        return Extractor(space, self.run.sampler.mesh)

    def rows(self, images: np.ndarray) -> Rows:
        """Computes features (n, d) of images (n, H, W, 3) in [0, 1]."""
        batches = list(self.extractor.stream([to_uint8(images)]))
        return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}

    @functools.cached_property
    def _features(self):
        """Features of the training images, and of the held-out ones or None."""
        reference, train = real_sets(self.run.config, self.train, self.held_out)
        if train is None:
            return features_of(self.extractor, reference), None
        return features_of(self.extractor, train), features_of(self.extractor, reference)

    @property
    def held_out_name(self) -> str:
        """What the held-out images are called, in words: validation images are not held out."""
        return evaluation_name(self.run.config.data)

    @property
    def train_rows(self) -> Rows:
        """Features (n, d) of the searched training images."""
        return self._features[0].rows

    @property
    def searched(self) -> np.ndarray:
        """(n,) indices of the searched training images, usually all."""
        return self._features[0].indices

    @property
    def held_out_rows(self) -> Rows | None:
        """Features (n, d) of held-out images; None if there are none."""
        return None if self.held_out is None else self._features[1].rows

    @property
    def held_out_labels(self) -> np.ndarray:
        """(n,) labels of the held-out images, if there are any."""
        assert self.held_out is not None
        return self.held_out.labels[self._features[1].indices]

    def nearest(self, rows: Rows) -> Nearest:
        """Finds the nearest training image of each image."""
        near = self.extractor.space.near
        found = nearest(rows[near], self.train_rows[near])
        return found._replace(indices=self.searched[found.indices])

    @functools.cached_property
    def classifier(self) -> FeatureClassifier | None:
        """The classifier of the training images; None if they are of one class."""
        labels = self.train.labels[self.searched]
        if len(np.unique(labels)) < 2:
            return None
        feature = self.extractor.space.classes
        return FeatureClassifier.fit_feature(feature, self.train_rows[feature], labels)

    def pictures(self, source: Source, indices: np.ndarray) -> np.ndarray:
        """Returns images (n, R, R, 3) in [0, 1] of a source, made square as in training."""
        data = self.run.config.data
        plain = ImageSpec(data.image_size, data.fit)
        views = pipeline.view_stream(source, plain, np.asarray(indices, np.int64), views=1, seed=0)
        return np.concatenate(list(views))


def open_real(run: TunedRun) -> RealImages:
    """Opens the real images of a run.

    Raises:
      UserError: data that are missing, or not those of its training.
    """
    train, held_out = open_sources(run.config)
    if train.digest != run.facts["data"]:
        raise UserError(
            f"The data of {run.workdir} has changed since its training ({train.name}: digest "
            f"{run.facts['data'][:12]} then, {train.digest[:12]} now): restore the data, or train "
            "again."
        )
    names = tuple(run.facts["class_names"])
    if len(names) < train.num_classes:
        # MineGAN's miner has no classes: its images are compared with all.
        train = _as_one_class(train, names)
        held_out = held_out and _as_one_class(held_out, names)
    return RealImages(run, train, held_out)


def _as_one_class(source: Source, names: tuple[str, ...]) -> Source:
    return dataclasses.replace(source, labels=0 * source.labels, class_names=names)
