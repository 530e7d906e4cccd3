"""The classifiers: they see the classes of images like those they know, and no others."""

import numpy as np
import pytest

from vpt_gen.errors import UserError
from vpt_gen.evaluation import classifier
from vpt_gen.evaluation.classifier import FeatureClassifier

pytest.importorskip("sklearn")
FITS = [FeatureClassifier.fit, FeatureClassifier.fit_pixels]


def rows(count, seed):
    """Two classes of features (n, 20), apart by some deviations, and their labels 3 and 7."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % 2)
    return random.normal(0, 0.1, (count, 20)) + labels[:, None] * 0.5, np.array([3, 7])[labels]


@pytest.mark.parametrize("fit", FITS)
def test_it_agrees_with_right_labels_only(fit):
    model = fit(*rows(60, 0))
    features, labels = rows(40, 1)
    assert model.agreement(features, labels) == 1.0
    assert model.agreement(features, 10 - labels) == 0.0
    assert model.agreement(features, np.full(40, 3)) == 0.5


@pytest.mark.parametrize("fit", FITS)
def test_one_class_is_none(fit):
    with pytest.raises(UserError, match="two classes or more"):
        fit(np.zeros((5, 2)), np.zeros(5))


def test_of_many_images_some_are_taken_from_everywhere(monkeypatch):
    monkeypatch.setattr(classifier, "MAX_IMAGES", 30)
    features, labels = rows(100, 0)
    order = np.argsort(labels, kind="stable")  # The second class comes last.
    model = FeatureClassifier.fit(features[order], labels[order])
    assert model.agreement(*rows(40, 1)) == 1.0
