"""The Frechet distance on principal components of pixels: one that needs no net at all."""

import numpy as np

from vpt_gen.evaluation.distances import frechet


class PixelDistance:
    """Compares small images with real ones; the figure compares with no other program's."""

    def __init__(self, train: np.ndarray, held_out: np.ndarray, num_components: int):
        """Fits the components.

        Args:
          train: pixels (n, d) of real images, from which the components are.
          held_out: pixels (m, d) of others, with which is compared.
          num_components: at most; no more than there are images or pixels.
        """
        from sklearn.decomposition import PCA

        self._pca = PCA(min(num_components, *train.shape), random_state=0).fit(train)
        self._held_out = self._pca.transform(held_out)

    def __call__(self, pixels: np.ndarray) -> float:
        """The distance of images, given by pixels (n, d), from the held-out real ones."""
        return frechet(self._pca.transform(pixels), self._held_out)
