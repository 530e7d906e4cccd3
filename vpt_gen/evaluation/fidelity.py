"""How near a tokenizer's reconstructions come to the images, in figures and to the eye."""

import dataclasses

import numpy as np

from vpt_gen.evaluation.image_sets import ImageSet
from vpt_gen.evaluation.reconstructed import Reconstruction
from vpt_gen.images import grids


@dataclasses.dataclass(frozen=True)
class Fidelity:
    """How near reconstructions come, over all images and pixels.

    Attributes:
      psnr: peak signal-to-noise ratio of the mean squared error, dB.
      codes_used: share of the codebook that the images take.
      perplexity: 2 to the entropy of the tokens, in tokens: how many they take evenly.
    """

    psnr: float
    codes_used: float
    perplexity: float

    def table(self, codebook_size: int) -> str:
        """A line a figure."""
        return (
            f"\npeak signal-to-noise ratio {self.psnr:10.2f} dB\n"
            f"codes used              {self.codes_used:13.1%} of {codebook_size:,}\n"
            f"perplexity of tokens    {self.perplexity:13.0f}"
        )


def fidelity(pairs: Reconstruction, codebook_size: int) -> Fidelity:
    """Measures what a tokenizer of so many tokens gave back."""
    squares = sum(
        float(np.sum((given / 255.0 - made / 255.0) ** 2))
        for given, made in zip(pairs.given, pairs.made, strict=True)
    )
    # Images that come back exactly have no noise at all; 8 bits tell no less than this error.
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
