"""Features of sets of images; those of real images are kept between runs."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from vpt_gen.data.source import digest_of
from vpt_gen.evaluation.features import (
    MAX_KEPT,
    Extractor,
    Features,
)
from vpt_gen.evaluation.image_sets import ImageSet, tapped
from vpt_gen.evaluation.shared_features import SharedFeatures
from vpt_gen.machine import kept_arrays
from vpt_gen.machine.files import cache_folder

# Increase it with every change of how features are computed or stored.
_VERSION = 1
_WHAT = "cached features"


def features_path(key: str) -> pathlib.Path:
    """Returns the path of the features with this key."""
    return cache_folder() / "features" / f"{key[:32]}.npz"


def features_of(
    extractor: Extractor,
    images: ImageSet,
    pictured: np.ndarray | None = None,
    shared: SharedFeatures | None = None,
) -> Features:
    """Returns the features that figures need: from the cache, or by one pass over the images.

    The cache is for sets whose digest is known beforehand. Its key covers the images, how they are
    prepared, and the feature space; a file that is damaged is made again.

    Args:
      extractor: of the feature space.
      images: the set.
      pictured: (n,) bool, the images that are kept themselves, of a set that is not in the cache.
      shared: where several processes have put the features of a set that is not in the cache.

    Raises:
      UserError: an image that can no longer be read.
    """
    if (found := from_cache(extractor, images)) is not None:
        return found
    chosen = np.zeros(len(images), bool) if pictured is None else pictured
    features = _extract(extractor, images, chosen, shared)
    if images.digest:
        key = _key(extractor, images)
        _save(features_path(key), key, features)
    return features


def from_cache(extractor: Extractor, images: ImageSet) -> Features | None:
    """Returns the features of a set that is in the cache, or None."""
    if not images.digest:
        return None
    key = _key(extractor, images)
    return _load(features_path(key), key)


def _key(extractor: Extractor, images: ImageSet) -> str:
    space = extractor.space
    return digest_of(
        images.digest,
        f"{_VERSION} {MAX_KEPT}",
        space.name,
        space.digest,
        space.resize,
        *space.needed,
    )


def _extract(
    extractor: Extractor, images: ImageSet, pictured: np.ndarray, shared: SharedFeatures | None
) -> Features:
    space = extractor.space
    pictures: list[np.ndarray] = []
    if shared:
        batches = shared.read(extractor, images, pictured, pictures)
    else:
        batches = extractor.stream(tapped(images.stream(), pictured, pictures))
    features = extractor.collect(
        batches,
        # A single image has no covariance.
        moments=[space.main] if len(images) > 1 else [],
        keep=space.needed,
        max_kept=min(MAX_KEPT, len(images)),
        total=len(images),
        label=f"{images.name}, {space.name} features",
    )
    numbers = np.flatnonzero(pictured).tolist()
    return dataclasses.replace(features, pictures=dict(zip(numbers, pictures, strict=True)))


def _save(path: pathlib.Path, key: str, features: Features) -> None:
    arrays: dict[str, Any] = {"count": np.array(features.count), "indices": features.indices}
    arrays |= {f"rows/{name}": rows for name, rows in features.rows.items()}
    for name, (mean, covariance) in features.moments.items():
        arrays |= {f"mean/{name}": mean, f"covariance/{name}": covariance}
    arrays["content"] = np.array(_content_digest(key, arrays))
    kept_arrays.save(path, arrays, f"Cannot keep the features in {path}")


def _load(path: pathlib.Path, key: str) -> Features | None:
    """Reads saved features; None if there are none or they are damaged."""
    return kept_arrays.load(path, _WHAT, lambda arrays: _parsed(key, arrays))


def _parsed(key: str, arrays: dict[str, np.ndarray]) -> Features:
    if str(arrays.pop("content")) != _content_digest(key, arrays):
        raise ValueError("its content does not match its digest")
    moments = {
        name.removeprefix("mean/"): (mean, arrays[name.replace("mean/", "covariance/", 1)])
        for name, mean in arrays.items()
        if name.startswith("mean/")
    }
    rows = {n.removeprefix("rows/"): rows for n, rows in arrays.items() if n.startswith("rows/")}
    return Features(int(arrays["count"]), moments, rows, arrays["indices"])


def _content_digest(key: str, arrays: dict[str, np.ndarray]) -> str:
    return digest_of(key, *(part for name in sorted(arrays) for part in (name, arrays[name])))
