"""`python -m tests.classifier_accuracy <data.npz> <net> ...`: accuracy of the photos classifiers.

Prints, for each net, the share of held-out photographs and drawings of which it predicts the class,
of all 62. Not collected by pytest: a minute per net.
"""

import sys

import jax
import numpy as np

from vpt_gen.checkpoints.backbone import load_net
from vpt_gen.data import arrays

BATCH = 500


def main(data: str, *nets: str) -> None:
    source = arrays.open_npz(data, "test")
    images, labels = (
        np.stack([source.load(i) for i in range(len(source))]),
        np.asarray(source.labels),
    )
    is_photo = np.array([name.startswith("photo/") for name in source.class_names])[labels]
    for path in nets:
        pretrained = load_net(path, "classifier")
        apply = jax.jit(pretrained.net.apply)
        found = np.concatenate(
            [
                apply(pretrained.params, images[i : i + BATCH] / np.float32(255.0)).argmax(-1)
                for i in range(0, len(images), BATCH)
            ]
        )
        for name, of in (("photographs", is_photo), ("drawings", ~is_photo)):
            share = np.mean(found[of] == labels[of])
            print(f"{path}: {share:.4f} of {of.sum():,} {name}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
