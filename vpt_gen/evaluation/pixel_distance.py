"""The Frechet distance on principal components of pixels, which needs no net."""

import numpy as np

from vpt_gen.evaluation.distances import frechet


class PixelDistance:
    """Compares small images with real ones; the figure is not comparable to other programs'."""

    def __init__(self, train: np.ndarray, held_out: np.ndarray, num_components: int):
        """Fits the components.

        Args:
          train: pixels (n, d) of real images, to fit the components.
          held_out: pixels (m, d) of others, to compare with.
          num_components: maximal number, limited by the numbers of images and pixels.
        """
        from sklearn.decomposition import PCA

        self._pca = PCA(min(num_components, *train.shape), random_state=0).fit(train)
        self._held_out = self._pca.transform(held_out)

    def __call__(self, pixels: np.ndarray) -> float:
        """Returns the distance of images with pixels (n, d) from the held-out real ones."""
        return frechet(self._pca.transform(pixels), self._held_out)
