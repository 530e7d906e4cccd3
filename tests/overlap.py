"""Whether the photos source's drawings are among the sets that it is to be tried on.

    python -m tests.overlap downloads downloads/targets

Prints, of each set, how far its pictures are from the nearest drawing (root mean square over
pixels of 32x32, of 255), and the nearest pairs. Look at what is below 30: the same
drawings were below 28.
"""

import pathlib
import sys

import numpy as np
from PIL import Image

from vpt_gen.packing.archives import find_archives
from vpt_gen.packing.drawings import ARCHIVES, CONTENT, pack
from vpt_gen.packing.on_white import fit_square
from vpt_gen.packing.packer import SIZE
from vpt_gen.packing.targets import SETS


def rms(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Root mean square differences, (n, d) and (m, d) -> (n, m)."""
    squares = (a**2).mean(1)[:, None] + (b**2).mean(1) - 2 * (a @ b.T) / a.shape[1]
    return np.sqrt(squares.clip(0))


def halved(images: np.ndarray) -> np.ndarray:
    """uint8 (n, SIZE, SIZE, 3) -> float32 (n, pixels of half the side)."""
    half = SIZE // 2
    cells = images.astype(np.float32).reshape(-1, half, 2, half, 2, 3)
    return cells.mean((2, 4)).reshape(len(images), -1)


def read(path: pathlib.Path) -> np.ndarray:
    """A picture as the source would have packed it."""
    image = Image.open(path).convert("RGB")
    square = fit_square(image, SIZE, CONTENT)
    return np.asarray(square or image.resize((SIZE, SIZE)))


def main(downloads: str, targets: str) -> None:
    """Prints the table."""
    kept = pack(find_archives(downloads, "photos", ARCHIVES)).kept
    paths = [path for _, path, _ in kept]
    images = halved(np.stack([image for *_, image in kept]))
    for name in SETS:
        folder = pathlib.Path(targets) / name
        files = sorted(folder.glob("*/*.png"))
        distances = rms(halved(np.stack([read(file) for file in files])), images)
        nearest = distances.min(axis=1)
        print(f"{name}: least {nearest.min():.1f}, median {np.median(nearest):.1f}")
        for number in np.argsort(nearest)[:5]:
            shown, like = files[number].relative_to(folder), paths[distances[number].argmin()]
            print(f"  {nearest[number]:5.1f}  {shown}  {like}")


if __name__ == "__main__":
    main(*sys.argv[1:])
