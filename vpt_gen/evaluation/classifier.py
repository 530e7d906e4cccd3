"""Class agreement: whether an independent classifier predicts the requested class."""

import dataclasses
from typing import Any

import numpy as np

from vpt_gen.errors import UserError

# Maximal number of training images; of more, an even subset is used.
MAX_IMAGES = 10_000


@dataclasses.dataclass(frozen=True)
class FeatureClassifier:
    """A classifier of features, from scikit-learn.

    Attributes:
      model: the fitted model.
      description: in words, for the record.
    """

    model: Any
    description: str

    @classmethod
    def fit(cls, features: np.ndarray, labels: np.ndarray) -> "FeatureClassifier":
        """Fits logistic regression on standardized features (n, d) of any space, labels (n,).

        Raises:
          UserError: fewer than two classes, or scikit-learn is not installed.
        """
        features, labels = _checked(features, labels)
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        return cls(model.fit(features, labels), "logistic regression on standardized features")

    @classmethod
    def fit_pixels(cls, pixels: np.ndarray, labels: np.ndarray) -> "FeatureClassifier":
        """Fits a support vector machine (RBF, C = 10) on pixels (n, d) in [0, 1], labels (n,).

        Raises:
          UserError: see `fit`.
        """
        pixels, labels = _checked(pixels, labels)
        from sklearn.svm import SVC

        model = SVC(C=10.0, gamma="scale").fit(pixels, labels)
        return cls(model, "support vector machine (RBF kernel, C = 10) on pixels")

    @classmethod
    def fit_feature(cls, name: str, rows: np.ndarray, labels: np.ndarray) -> "FeatureClassifier":
        """Fits the classifier for a feature (n, d), "pixels" or any other, and labels (n,).

        Raises:
          UserError: see `fit`.
        """
        return (cls.fit_pixels if name == "pixels" else cls.fit)(rows, labels)

    def agreement(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Returns the share of images with features (n, d) whose predicted class is their label."""
        return float(np.mean(self.model.predict(features) == labels))


def _checked(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Selects the training images.

    Raises:
      UserError: see `FeatureClassifier.fit`.
    """
    if len(np.unique(labels)) < 2:
        raise UserError("Class agreement needs real images of two classes or more.")
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise UserError(
            "Class agreement needs scikit-learn; install it with `pip install -e .[demo]`."
        ) from error
    if len(labels) <= MAX_IMAGES:
        return features, labels
    rows = np.linspace(0, len(labels) - 1, MAX_IMAGES).astype(int)
    return features[rows], labels[rows]
