"""Analysis of tuned prompts: how well they cluster by class, and which classes are similar."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from vpt_gen.evaluation.pairwise import distance_blocks
from vpt_gen.nets.prompt_generator import PromptGenerator

_SHUFFLES = 200
_BATCH = 256


def make_prompts(generator: PromptGenerator, params: Any, conditions: np.ndarray) -> np.ndarray:
    """Conditions (n, 2), class and training image -> their prompts (n, S, D), without dropout.

    A vector is one token more, the last.
    """

    @jax.jit
    def make(params, conditions):
        return generator.apply(
            {"params": params},
            conditions[:, 0] if generator.num_classes else None,
            conditions[:, 1] if generator.num_instances else None,
        )

    parts = [conditions[i : i + _BATCH] for i in range(0, len(conditions), _BATCH)]
    return np.concatenate([jax.device_get(make(params, part)) for part in parts])


def without_classes(params: Any) -> Any:
    """Neutralizes the class part of parameters, so that a prompt depends only on its instance."""
    tables = ("prompt_embeddings", "prompt_vector_embeddings")
    zero = {name: jax.tree.map(np.zeros_like, params[name]) for name in tables if name in params}
    return {**params, **zero}


def lengths(num_prompt_tokens: int) -> list[int]:
    """Returns 1, 2, 4, ... and S."""
    powers = [2**i for i in range(num_prompt_tokens.bit_length())]
    return sorted({*powers, num_prompt_tokens})


def coordinates(prompts: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yields points with the prompts' distances, for the first s of S tokens, s in `lengths`.

    Prompts (n, S, D) have s * D coordinates; the points (n, at most n) are the same after rotation
    and centering, by the eigenvectors of their inner products.

    Yields:
      s, and the points, their widest direction first.
    """
    n, num_tokens, _ = prompts.shape
    centered = np.asarray(prompts, np.float64) - prompts.mean(axis=0, dtype=np.float64)
    products = np.zeros((n, n))
    for s in range(1, num_tokens + 1):
        products += centered[:, s - 1] @ centered[:, s - 1].T
        if s in lengths(num_tokens):
            values, vectors = np.linalg.eigh(products)
            kept = values > values[-1] * 1e-10
            yield s, (vectors[:, kept] * np.sqrt(values[kept]))[:, ::-1]


@dataclasses.dataclass(frozen=True)
class ClusterMatch:
    """How well clusters of prompts, found without labels, match the classes.

    Attributes:
      purity: share of prompts in a cluster where their class is the most common.
      chance: the purity of the same clusters with shuffled labels (mean of 200 shuffles).
      nmi: normalized mutual information of clusters and classes, 0 to 1.
      silhouette: of the classes themselves, -1 to 1: above 0, prompts of a class are nearer to each
        other than to the next class.
    """

    purity: float
    chance: float
    nmi: float
    silhouette: float


def cluster_match(points: np.ndarray, labels: np.ndarray, seed: int) -> ClusterMatch:
    """Compares k-means clusters of points (n, d), as many as classes, with labels (n,).

    Needs at least two classes, and more points than classes.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import normalized_mutual_info_score, silhouette_score

    count = len(np.unique(labels))
    clusters = KMeans(count, n_init=10, random_state=seed).fit_predict(points)
    generator = np.random.default_rng(seed)
    shuffled = [purity(clusters, generator.permutation(labels)) for _ in range(_SHUFFLES)]
    return ClusterMatch(
        purity(clusters, labels),
        float(np.mean(shuffled)),
        float(normalized_mutual_info_score(labels, clusters)),
        float(silhouette_score(points, labels)),
    )


def purity(clusters: np.ndarray, labels: np.ndarray) -> float:
    """Returns the share of points (n,) in a cluster whose most common label is their own."""
    most = [np.bincount(labels[clusters == cluster]).max() for cluster in np.unique(clusters)]
    return float(np.sum(most) / len(labels))


def similarity(points: np.ndarray) -> np.ndarray:
    """Returns cosines (n, n) between points (n, d) after centering.

    For n points in general position they are -1 / (n - 1) on average.
    """
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return (points / lengths) @ (points / lengths).T


@dataclasses.dataclass(frozen=True)
class Resemblance:
    """Whether items that are close in one space are close in another.

    Attributes:
      correlation: Spearman's, of the distances of all pairs.
      chance: the 95th percentile over shuffles of the items (Mantel's test).
    """

    correlation: float
    chance: float


def resemblance(points: np.ndarray, others: np.ndarray, seed: int) -> Resemblance:
    """Compares the distances between points (n, d) with those between others (n, e)."""
    from scipy.stats import spearmanr

    pairs = np.triu_indices(len(points), k=1)
    distances, wanted = _distances(points), _distances(others)[pairs]
    generator = np.random.default_rng(seed)
    by_chance = []
    for _ in range(_SHUFFLES):
        order = generator.permutation(len(points))
        by_chance.append(spearmanr(distances[np.ix_(order, order)][pairs], wanted).statistic)
    correlation = spearmanr(distances[pairs], wanted).statistic
    return Resemblance(float(correlation), float(np.quantile(by_chance, 0.95)))


def _distances(points: np.ndarray) -> np.ndarray:
    return np.concatenate([block for _, block in distance_blocks(points, points)])


def embed(points: np.ndarray, seed: int) -> np.ndarray:
    """Returns the t-SNE (n, 2) of points (n, d), n >= 4."""
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(points) - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=seed)
    return tsne.fit_transform(points[:, :50])
