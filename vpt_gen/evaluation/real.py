"""What real images say: a classifier, a feature space, and the floor of the distance in it."""

import numpy as np

from vpt_gen.evaluation.classifier import PixelClassifier, pixel_features
from vpt_gen.evaluation.distances import frechet


class RealImages:
    """The yardstick for generated images, fitted to real ones."""

    def __init__(
        self,
        train: tuple[np.ndarray, np.ndarray],
        held_out: tuple[np.ndarray, np.ndarray],
        num_components: int,
        num_samples: int,
        seed: int,
    ):
        """Fits to real images.

        Args:
          train: images (n, H, W, 3) in [0, 1] and labels (n,), what the prompts were tuned on.
          held_out: images and labels that nothing was trained on.
          num_components: principal components of the pixels that make the feature space.
          num_samples: how many images a distance to the held-out ones is taken with.
          seed: of the draw of real images for the floor.
        """
        from sklearn.decomposition import PCA

        self.classifier = PixelClassifier.fit(*train)
        pixels = pixel_features(train[0])
        self._pca = PCA(min(num_components, *pixels.shape), random_state=0).fit(pixels)
        self._held_out = held_out
        self._reference = self._pca.transform(pixel_features(held_out[0]))
        drawn = np.random.default_rng(seed).permutation(len(pixels))[:num_samples]
        self.floor = frechet(self._pca.transform(pixels[drawn]), self._reference)

    def agreement(self) -> float:
        """The classifier's accuracy on the held-out real images."""
        return self.classifier.agreement(*self._held_out)

    def distance(self, images: np.ndarray) -> float:
        """Frechet distance of images to the held-out real ones."""
        return frechet(self._pca.transform(pixel_features(images)), self._reference)
