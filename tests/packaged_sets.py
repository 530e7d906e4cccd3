"""Real image sets that Python packages ship, as class folders: what can be tried off line.

python -m tests.packaged_sets runs/packaged            writes faces/, textures/ and digits/
python -m tests.packaged_sets runs/packaged compare    writes samples.png, see docs/data.md

faces     scikit-image's subset of Labeled Faces in the Wild: 100 faces, 100 patches of background
textures  scikit-image's photographs of brick, grass and gravel, in tiles of 64 pixels
digits    scikit-learn's 1,797 handwritten digits of 8 x 8 pixels, another hand than the demo's
"""

import pathlib
import sys

import numpy as np
from PIL import Image

from vpt_gen.images import grids

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


def compare(folder: pathlib.Path, side: int = 32, count: int = 8) -> None:
    """The first real images of some classes, and beside them the first samples of `run_<set>`."""
    shown = {name: (*SETS[name](),) for name in ("faces", "textures")} | {"digits": ("0", "3", "7")}
    rows = {}
    for name, classes in shown.items():
        for class_name in classes:
            real = sorted((folder / name / class_name).glob("*.png"))[:count]
            samples = sorted((folder / f"run_{name}" / "samples").glob(f"{class_name}_*.png"))
            images = [_read(path, side) for path in real]
            images += [np.full((side, side, 3), 96, np.uint8)]
            images += [_read(path, side) for path in samples[:count]]
            rows[f"{name}: {class_name}"] = np.stack(images) / 255.0
    grids.save_png(folder / "samples.png", grids.labeled_rows(rows))


def _read(path: pathlib.Path, side: int) -> np.ndarray:
    image = Image.open(path).convert("RGB")
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))


def main(folder: pathlib.Path, *task: str) -> None:
    if task == ("compare",):
        compare(folder)
        return
    for name in SETS:
        write(name, folder / name)
        print(f"Wrote {folder / name}.")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), *sys.argv[2:])
