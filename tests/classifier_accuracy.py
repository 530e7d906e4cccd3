"""`python -m tests.classifier_accuracy <data.npz> <net> ...`: accuracy of the photos classifiers.

Prints, for each net, the share of held-out photographs and drawings of which it predicts the class,
of all 62. With `--through=<tokenizer>` the nets see reconstructions, whose peak signal-to-noise
ratio and sum of the mean steps between neighboring pixels are printed first. Not collected by
pytest: a minute per net.
"""

import argparse

import jax
import numpy as np

from tests.degradations import through_tokens
from vpt_gen.checkpoints.backbone import TOKENIZERS, load_net
from vpt_gen.data import arrays

BATCH = 500


def _batches(images):
    for i in range(0, len(images), BATCH):
        yield images[i : i + BATCH] / np.float32(255.0)


def steps(images: np.ndarray) -> float:
    """Sum of the mean absolute steps to the right and down, in [0, 1] each."""
    values = images.astype(np.float32) / 255.0
    return float(sum(np.abs(np.diff(values, axis=axis)).mean() for axis in (1, 2)))


def main(options: argparse.Namespace) -> None:
    source = arrays.open_npz(options.data, "test")
    images = np.stack([source.load(i) for i in range(len(source))])
    labels = np.asarray(source.labels)
    is_photo = np.array([name.startswith("photo/") for name in source.class_names])[labels]
    parts = {"photographs": is_photo, "drawings": ~is_photo}
    if options.through:
        real, images = images, through_tokens(load_net(options.through, *TOKENIZERS), images)
        for name, of in parts.items():
            error = np.mean((images[of] / 255.0 - real[of] / 255.0) ** 2)
            sharp = f"steps {steps(images[of]):.4f}, real {steps(real[of]):.4f}"
            print(f"{options.through}: {-10 * np.log10(error):.2f} dB, {sharp}, of {name}")
    for path in options.nets:
        pretrained = load_net(path, "classifier")
        apply = jax.jit(pretrained.net.apply)
        found = [apply(pretrained.params, x).argmax(-1) for x in _batches(images)]
        right = np.concatenate(found) == labels
        for name, of in parts.items():
            print(f"{path}: {right[of].mean():.4f} of {of.sum():,} {name}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("nets", nargs="+")
    parser.add_argument("--through", default="", help="folder of a tokenizer")
    main(parser.parse_args())
