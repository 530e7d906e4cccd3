"""`python -m tests.degradations downloads/source_photos.npz`: what the photos space sees.

1,000 of CIFAR-10's test photographs are the reference, 1,000 others come back damaged, and 2,000
more teach the classifier. For the photos space and that of the photos tokenizer, prints the Frechet
distance as a multiple of the undamaged ones', their precision, and the class agreement. Then in how
many pairs each orders the distances as the eye does: the stronger damage of a kind is farther than
the slight one, and what destroys the object is farther than what leaves it recognizable.

Not collected by pytest: a few minutes.
"""

import argparse
import io
from collections.abc import Callable

import numpy as np
import scipy.ndimage
from PIL import Image

from tests.sensitivity import noise
from vpt_gen.checkpoints.backbone import TOKENIZERS, PretrainedNet, load_net
from vpt_gen.checkpoints.shipped import PHOTOS, SIDES
from vpt_gen.data import arrays
from vpt_gen.evaluation import reconstructed
from vpt_gen.evaluation.classifier import FeatureClassifier
from vpt_gen.evaluation.distances import frechet, precision_recall
from vpt_gen.evaluation.features import Extractor, tokenizer_space
from vpt_gen.evaluation.photos_space import photos_space
from vpt_gen.machine import sharding

COUNT, TAUGHT = 1000, 2000
Change = Callable[[np.ndarray], np.ndarray]


def blurred(sigma: float) -> Change:
    return lambda images: scipy.ndimage.gaussian_filter(images, (0, sigma, sigma, 0))


def noisy(share: float) -> Change:
    return lambda images: noise(images, share)


def jpeg(quality: int) -> Change:
    def one(image):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file))

    return lambda images: np.stack([one(image) for image in images])


def half_gray(images):
    changed = images.copy()
    changed[:, :, images.shape[2] // 2 :] = 128
    return changed


def half_of_another(images):
    changed = images.copy()
    half = images.shape[2] // 2
    changed[:, :, half:] = np.roll(images, 1, axis=0)[:, :, half:]
    return changed


def shuffled_tiles(images, tile=8):
    n, h, w, _ = images.shape
    rows, columns = h // tile, w // tile
    tiles = images.reshape(n, rows, tile, columns, tile, 3).swapaxes(2, 3)
    tiles = tiles.reshape(n, rows * columns, tile, tile, 3)
    mixed = np.random.default_rng(3).permuted(
        np.broadcast_to(np.arange(rows * columns), (n, rows * columns)), axis=1
    )
    tiles = tiles[np.arange(n)[:, None], mixed].reshape(n, rows, columns, tile, tile, 3)
    return tiles.swapaxes(2, 3).reshape(images.shape)


# Kind -> slight and strong damage.
STRENGTHS: dict[str, dict[str, Change]] = {
    "blur": {"sigma 0.5 pixels": blurred(0.5), "sigma 1": blurred(1.0)},
    "noise": {"2 % of the range": noisy(0.02), "20 %": noisy(0.2)},
    "JPEG": {"quality 75": jpeg(75), "quality 10": jpeg(10)},
}
DESTROYED: dict[str, Change] = {
    "right half gray": half_gray,
    "right half of another image": half_of_another,
    "tiles of 8 pixels shuffled": shuffled_tiles,
}


def through_tokens(tokenizer: PretrainedNet, images: np.ndarray) -> np.ndarray:
    """What the tokenizer gives back of images."""
    made = reconstructed.batches(tokenizer, iter(images), 100, sharding.make_mesh())
    return np.concatenate([part for _, part, _ in made])


def load(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Photographs (n, 32, 32, 3) of the test split, shuffled, and their classes (n,)."""
    source = arrays.open_npz(path, "test")
    photos = [number for number, name in enumerate(source.class_names) if "photo/" in name]
    chosen = np.flatnonzero(np.isin(source.labels, photos))
    chosen = np.random.default_rng(0).permutation(chosen)[: 2 * COUNT + TAUGHT]
    return np.stack([source.load(i) for i in chosen]), np.asarray(source.labels)[chosen]


def returned(images: np.ndarray, labels: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What a generator returns -> images and the classes asked for."""
    found = {"new images": (images, labels)}
    for kind, strengths in STRENGTHS.items():
        found |= {f"{kind}, {name}": (f(images), labels) for name, f in strengths.items()}
    found |= {name: (f(images), labels) for name, f in DESTROYED.items()}
    some = labels < np.sort(np.unique(labels))[5]
    few = np.arange(len(images)) < len(images) // 20
    return found | {
        "swapped classes": (images, np.roll(np.unique(labels), 1)[labels - labels.min()]),
        "half of the classes": (images[some], labels[some]),
        "one in 20, 20 times": tuple(np.repeat(x[few], 20, axis=0) for x in (images, labels)),
    }


def measured(space, sets) -> dict[str, tuple[float, float, float]]:
    """Frechet distance, precision and agreement of each set but the first two."""
    extractor = Extractor(space, sharding.make_mesh())

    def rows(images):
        batches = extractor.stream([images])
        return extractor.collect(batches, keep=space.needed, max_kept=len(images)).rows

    sets = {name: (rows(images), labels) for name, (images, labels) in sets.items()}
    reference, _ = sets.pop("reference")
    taught, labels = sets.pop("taught")
    judge = FeatureClassifier.fit_feature(space.classes, taught[space.classes], labels)
    return {
        name: (
            frechet(found[space.main], reference[space.main]),
            precision_recall(found[space.main], reference[space.main]).precision,
            judge.agreement(found[space.classes], labels),
        )
        for name, (found, labels) in sets.items()
    }


def pairs() -> list[tuple[str, str]]:
    """What the eye finds less and more damaged."""
    kinds = [[f"{kind}, {name}" for name in of] for kind, of in STRENGTHS.items()]
    return [
        *((slight, strong) for slight, strong in kinds),
        *((milder, worse) for names in kinds for milder in names for worse in DESTROYED),
    ]


def table(found: dict[str, dict[str, tuple[float, float, float]]]) -> str:
    """Rows of what is returned, with three figures for each space."""
    columns = [f"{what}, {name}" for name in found for what in ("distance", "precision", "class")]
    lines = ["| returned | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for name in next(iter(found.values())):
        cells = []
        for of in found.values():
            distance, precision, agreement = of[name]
            times = distance / of["new images"][0]
            cells += [f"{times:.1f}", f"{precision:.2f}", f"{agreement:.2f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    images, labels = load(parser.parse_args().data)
    parts = np.split(np.arange(len(images)), [COUNT, 2 * COUNT])
    (reference, new, taught) = ((images[part], labels[part]) for part in parts)
    sets = {"reference": reference, "taught": taught, **returned(*new)}
    tokenizer = load_net(f"{PHOTOS}/tokenizer", *TOKENIZERS)
    sets["through the photos tokenizer"] = through_tokens(tokenizer, new[0]), new[1]
    spaces = {
        "photos": photos_space(load_net(f"{PHOTOS}/features", "classifier")),
        "tokenizer": tokenizer_space(tokenizer, SIDES[PHOTOS]),
    }
    found = {name: measured(space, sets) for name, space in spaces.items()}
    print(table(found))
    for space, of in found.items():
        wrong = [f"{a} over {b}" for a, b in pairs() if of[a][0] >= of[b][0]]
        floor = of["new images"][0]
        print(f"{space}: floor {floor:.3g}; {len(pairs()) - len(wrong)} of {len(pairs())} pairs")
        print("".join(f"  {pair}\n" for pair in wrong))


if __name__ == "__main__":
    main()
