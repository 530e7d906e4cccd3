"""Distances between sets of images, float64 on the host."""

import numpy as np
import scipy.linalg


def frechet_distance(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """Squared Frechet distance between Gaussians fitted to two feature sets (n, d), (m, d).

    |mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), with unbiased covariances. It falls with
    growing n and m: compare only distances taken with the same counts.
    """
    a, b = np.asarray(features_a, np.float64), np.asarray(features_b, np.float64)
    difference = a.mean(axis=0) - b.mean(axis=0)
    covariance_a, covariance_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # tr((S_a S_b)^(1/2)) through the symmetric R S_b R, R = S_a^(1/2), which has real eigenvalues.
    values, vectors = scipy.linalg.eigh(covariance_a)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    cross = np.sqrt(np.maximum(scipy.linalg.eigvalsh(root @ covariance_b @ root), 0.0)).sum()
    return float(
        difference @ difference + np.trace(covariance_a) + np.trace(covariance_b) - 2 * cross
    )
