"""Features of sets of images; those of real images are kept between runs."""

import pathlib
from typing import Any

import numpy as np

from vpt_gen.data.source import digest_of
from vpt_gen.evaluation.features import (
    MAX_KEPT,
    Extractor,
    Features,
)
from vpt_gen.evaluation.image_sets import ImageSet
from vpt_gen.machine import kept_arrays
from vpt_gen.machine.files import cache_folder

# Increase it with every change of how features are computed or stored.
_VERSION = 1
_WHAT = "cached features"


def features_path(key: str) -> pathlib.Path:
    """Returns the path of the features with this key."""
    return cache_folder() / "features" / f"{key[:32]}.npz"


def features_of(extractor: Extractor, images: ImageSet) -> Features:
    """Returns the features that figures need: from the cache, or by one pass over the images.

    The cache is for sets whose digest is known beforehand. Its key covers the images, how they are
    prepared, and the feature space; a file that is damaged is made again.

    Raises:
      UserError: an image that can no longer be read.
    """
    space = extractor.space
    if not images.digest:
        return _extract(extractor, images)
    key = digest_of(
        images.digest,
        f"{_VERSION} {MAX_KEPT}",
        space.name,
        space.digest,
        space.resize,
        *space.needed,
    )
    path = features_path(key)
    if (found := _load(path, key)) is not None:
        return found
    features = _extract(extractor, images)
    _save(path, key, features)
    return features


def _extract(extractor: Extractor, images: ImageSet) -> Features:
    space = extractor.space
    return extractor.collect(
        images.stream(),
        # A single image has no covariance.
        moments=[space.main] if len(images) > 1 else [],
        keep=space.needed,
        max_kept=min(MAX_KEPT, len(images)),
        total=len(images),
        label=f"{images.name}, {space.name} features",
    )


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
