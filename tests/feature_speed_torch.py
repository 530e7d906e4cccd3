"""The other half of `tests.feature_speed`, run by a Python that has torch and torch-fidelity.

Reads weights.pth and images.npy of a folder, writes features.npy, prints JSON.
"""

import importlib.metadata
import json
import pathlib
import sys
import time
import unittest.mock

import numpy as np
import torch

# torch-fidelity wants torchvision for other networks; PyPI's may not go with a CPU build of torch.
for name in ("", ".transforms", ".transforms.functional", ".datasets", ".models"):
    sys.modules[f"torchvision{name}"] = unittest.mock.MagicMock()
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3  # noqa: E402


def main() -> None:
    folder, batch_size = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    extractor = FeatureExtractorInceptionV3(
        "speed",
        ["64", "192", "768", "2048", "logits_unbiased", "logits"],
        feature_extractor_weights_path=str(folder / "weights.pth"),
    ).to(device)
    images = torch.from_numpy(np.load(folder / "images.npy"))

    @torch.no_grad()
    def features() -> np.ndarray:
        return np.concatenate(
            [extractor(batch.to(device))[3].cpu().numpy() for batch in images.split(batch_size)]
        )

    seconds = []
    for _ in range(3):  # The first is not counted.
        start = time.perf_counter()
        found = features()
        seconds.append(time.perf_counter() - start)
    np.save(folder / "features.npy", found)
    version = importlib.metadata.version
    versions = f"torch-fidelity {version('torch-fidelity')} on torch {version('torch')}, {device}"
    print(json.dumps({"seconds": min(seconds[1:]), "versions": versions}))


if __name__ == "__main__":
    main()
