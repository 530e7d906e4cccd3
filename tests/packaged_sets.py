"""Real image sets that Python packages ship, as class folders: what can be tried off line.

python -m tests.packaged_sets runs/packaged    writes faces/, textures/, digits/ (docs/data.md)

faces     scikit-image's subset of Labeled Faces in the Wild: 100 faces, 100 patches of background
textures  scikit-image's photographs of brick, grass and gravel, in tiles of 64 pixels
digits    scikit-learn's 1,797 handwritten digits of 8 x 8 pixels, another hand than the demo's
"""

import pathlib
import sys

import numpy as np
from PIL import Image

TILE = 64  # pixels


def faces() -> dict[str, np.ndarray]:
    from skimage import data

    patches = np.round(data.lfw_subset() * 255.0).astype(np.uint8)
    return {"face": patches[:100], "background": patches[100:]}


def textures() -> dict[str, np.ndarray]:
    from skimage import data

    return {name: _tiles(getattr(data, name)()) for name in ("brick", "grass", "gravel")}


def _tiles(photograph: np.ndarray) -> np.ndarray:
    """(H, W) -> (n, TILE, TILE), not overlapping."""
    rows, columns = (side // TILE for side in photograph.shape)
    cut = photograph[: rows * TILE, : columns * TILE].reshape(rows, TILE, columns, TILE)
    return cut.swapaxes(1, 2).reshape(-1, TILE, TILE)


def digits() -> dict[str, np.ndarray]:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = np.round(images.reshape(-1, 8, 8) * (255.0 / 16.0)).astype(np.uint8)
    return {str(digit): images[labels == digit] for digit in range(10)}


SETS = {"faces": faces, "textures": textures, "digits": digits}


def write(name: str, folder: pathlib.Path) -> None:
    """Writes a set as PNG files, one sub-folder a class."""
    for class_name, images in SETS[name]().items():
        (folder / class_name).mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(images):
            Image.fromarray(image).save(folder / class_name / f"{number:04d}.png")


def main(folder: pathlib.Path) -> None:
    for name in SETS:
        write(name, folder / name)
        print(f"Wrote {folder / name}.")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
