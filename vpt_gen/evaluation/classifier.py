"""Class agreement: does an independent classifier see the class that was asked for?"""

import dataclasses
from typing import Any

import numpy as np
from PIL import Image

from vpt_gen.data.images import to_uint8
from vpt_gen.errors import UserError

SIDE = 32


def pixel_features(images: np.ndarray) -> np.ndarray:
    """Images (n, H, W, 3) in [0, 1] -> (n, 3 * 32 * 32) pixels of an antialiased 32x32 copy."""
    small = [
        Image.fromarray(i).resize((SIDE, SIDE), Image.Resampling.BOX) for i in to_uint8(images)
    ]
    return np.stack([np.asarray(i, np.float32).reshape(-1) / 255.0 for i in small])


@dataclasses.dataclass(frozen=True)
class PixelClassifier:
    """A support vector machine (RBF kernel, C = 10) on 32x32 pixels, from scikit-learn."""

    machine: Any

    @classmethod
    def fit(cls, images: np.ndarray, labels: np.ndarray) -> "PixelClassifier":
        """Trains on real images (n, H, W, 3) in [0, 1] with labels (n,)."""
        from sklearn.svm import SVC

        return cls(SVC(C=10.0, gamma="scale").fit(pixel_features(images), labels))

    def agreement(self, images: np.ndarray, labels: np.ndarray) -> float:
        """Share of images (n, H, W, 3) whose predicted class is the one in `labels` (n,)."""
        return float(np.mean(self.machine.predict(pixel_features(images)) == labels))


@dataclasses.dataclass(frozen=True)
class FeatureClassifier:
    """Logistic regression on standardised features of any space, from scikit-learn."""

    model: Any

    @classmethod
    def fit(cls, features: np.ndarray, labels: np.ndarray) -> "FeatureClassifier":
        """Trains on features (n, d) of real images with labels (n,).

        Raises:
          UserError: fewer than two classes.
        """
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        if len(np.unique(labels)) < 2:
            raise UserError("Class agreement needs real images of two classes or more.")
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        return cls(model.fit(features, labels))

    def agreement(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Share of images, given by features (n, d), whose predicted class is in `labels` (n,)."""
        return float(np.mean(self.model.predict(features) == labels))
