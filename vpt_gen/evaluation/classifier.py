"""Class agreement: does an independent classifier see the class that was asked for?"""

import dataclasses
from typing import Any

import numpy as np
from PIL import Image

from vpt_gen.data.images import to_uint8

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
