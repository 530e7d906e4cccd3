"""How close a tokenizer's reconstructions are to the images, as figures and as a picture."""

import dataclasses

import numpy as np

from vpt_gen.evaluation.image_sets import ImageSet
from vpt_gen.evaluation.reconstructed import Reconstruction
from vpt_gen.images import grids


@dataclasses.dataclass(frozen=True)
class Fidelity:
    """How close reconstructions are, over all images and pixels.

    Attributes:
      psnr: peak signal-to-noise ratio of the mean squared error, dB.
      codes_used: share of the codebook that the images use.
      perplexity: 2 to the entropy of the tokens: the number of codes if used evenly.
    """

    psnr: float
    codes_used: float
    perplexity: float

    def table(self, codebook_size: int) -> str:
        """One line per figure."""
        return (
            f"\npeak signal-to-noise ratio {self.psnr:10.2f} dB\n"
            f"codes used              {self.codes_used:13.1%} of {codebook_size:,}\n"
            f"perplexity of tokens    {self.perplexity:13.0f}"
        )


def fidelity(pairs: Reconstruction, codebook_size: int) -> Fidelity:
    """Measures the reconstructions of a tokenizer with this codebook size."""
    squares = sum(
        float(np.sum((given / 255.0 - made / 255.0) ** 2))
        for given, made in zip(pairs.given, pairs.made, strict=True)
    )
    # Exact reconstructions have no noise; 8 bits cannot show an error below this.
    error = max(squares / pairs.given.size, (1 / 255.0) ** 2 / 12)
    counts = np.bincount(pairs.tokens.ravel(), minlength=codebook_size)
    shares = counts[counts > 0] / counts.sum()
    entropy = -np.sum(shares * np.log2(shares))
    return Fidelity(-10 * np.log10(error), float(np.mean(counts > 0)), float(2**entropy))


def pairs_picture(pairs: Reconstruction, images: ImageSet, columns: int) -> np.ndarray:
    """Up to `columns` images of each class and their reconstructions below, as one picture."""
    rows = {}
    for label in np.unique(images.labels):
        chosen = np.flatnonzero(images.labels == label)[:columns]
        name = images.class_names[label]
        rows[name] = pairs.given[chosen] / np.float32(255.0)
        rows[f"{name}, reconstructed"] = pairs.made[chosen] / np.float32(255.0)
    return grids.labeled_rows(rows)
