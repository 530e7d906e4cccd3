"""`python -m tests.evaluation_references <folder of checkouts>`: makes evaluation/references/.

Reference numbers of others' programs on small random arrays and nets, with the versions. Run it in
an environment of its own, from the root of this repository:

    python -m venv other
    other/bin/pip install torch transformers torch-fidelity vendi-score clip-mmd lpips scikit-learn
    other/bin/pip install --no-deps dinov2

Four of the programs are on no package index; the folder holds their repositories, named `fld`
(marcojira/fld, commit 245ac7c), `dgm-eval` (layer6ai-labs/dgm-eval, commit d57a6d2) and
`torch-fidelity` (toshas/torch-fidelity, commit a51aa64).

Not collected by pytest.
"""

import importlib.metadata
import itertools
import json
import pathlib
import sys
from unittest import mock

import numpy as np

FOLDER = pathlib.Path(__file__).parent / "evaluation" / "references"
PACKAGES = ("torch", "transformers", "torch_fidelity", "vendi_score", "clip_mmd", "dinov2", "lpips")
PACKAGES += ("scikit-learn",)
# Of the mixtures and the directions: how far a figure varies with its own draws.
REPEATS = 20


def feature_sets() -> dict[str, np.ndarray]:
    """Features of generated, training and held-out images in three groups; some are near copies."""
    random = np.random.default_rng(25)
    centers = 4.0 * random.standard_normal((3, 80))
    scales = np.geomspace(2.0, 0.2, 80)

    def draw(count):
        return centers[np.arange(count) % 3] + scales * random.standard_normal((count, 80))

    sets = {"train": draw(150), "held_out": draw(140), "generated": 1.1 * draw(130)}
    sets["generated"][:30] = sets["train"][:30] + 0.3 * random.standard_normal((30, 80))
    return {name: rows.astype(np.float32) for name, rows in sets.items()}


def repeated(measure) -> dict[str, float]:
    values = []
    for seed in range(REPEATS):
        np.random.seed(seed)
        values.append(float(measure(seed)))
    return {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=1))}


def figures(sets: dict[str, np.ndarray]) -> dict[str, object]:
    import torch
    from clip_mmd.calculation import mmd
    from dgm_eval.metrics.authpct import compute_authpct
    from dgm_eval.metrics.ct import compute_CTscore
    from dgm_eval.metrics.vendi import compute_vendi_score
    from fld.metrics.FLD import FLD
    from torch_fidelity.metric_mind import mind_features_to_metric
    from vendi_score import vendi

    train, held_out, generated = sets["train"], sets["held_out"], sets["generated"]
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (generated, held_out)]
    tensors = [torch.from_numpy(rows) for rows in (train, held_out, generated)]

    def mind(seed):
        options = {"mind_num_projections": 1000, "rng_seed": seed, "cuda": False, "verbose": False}
        pair = tensors[2], tensors[1][: len(generated)]
        return mind_features_to_metric(*pair, **options)["monge_inception_distance"]

    directions = torch.randn(1000, 80, generator=torch.Generator().manual_seed(0))
    directions /= directions.norm(dim=1, keepdim=True)
    sets["directions"] = directions.numpy().astype(np.float16)  # Stored with few digits.
    stored = torch.from_numpy(sets["directions"].astype(np.float32))
    # The same program with the stored directions: it scales them to unit length.
    with mock.patch("torch.randn", return_value=stored):
        mind_of_directions = mind(0)
    # 100 times a likelihood alone: the one that it is compared with is next to nothing.
    return {
        "mind_of_directions": mind_of_directions,
        "mind": repeated(mind),
        "cmmd": float(mmd(*[torch.from_numpy(rows.astype(np.float64)) for rows in unit])),
        "cmmd_float32": float(mmd(*unit)),
        "vendi": float(vendi.score_dual(generated.astype(np.float64), normalize=True)),
        "vendi_of_few": float(vendi.score_X(generated[:40].astype(np.float64), normalize=True)),
        "vendi_dgm_eval": float(compute_vendi_score(generated)),
        "authpct": compute_authpct(train, generated),
        "c_t": float(compute_CTscore(train, held_out, generated)),
        "c_t_of_held_out": float(compute_CTscore(train, held_out[::2], held_out[1::2])),
        "fld_nll_test": FLD("test", baseline_nll=1e-12).compute_metric(*tensors),
        "fld_nll_train": FLD("train", baseline_nll=1e-12).compute_metric(*tensors),
        "fld_gap": FLD("gap").compute_metric(*tensors),
        "fld": repeated(lambda _: FLD("test").compute_metric(*tensors)),
    }


def alexnet_tensors() -> dict[str, np.ndarray]:
    """Random weights of LPIPS on AlexNet, in torchvision's and `lpips`' names."""
    random, tensors = np.random.default_rng(11), {}
    convolutions = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3)}
    convolutions[10] = (256, 256, 3)
    for stage, (layer, (width, inputs, side)) in enumerate(convolutions.items()):
        shape = (width, inputs, side, side)
        spread = np.sqrt(2 / np.prod(shape[1:]))
        tensors[f"features.{layer}.weight"] = spread * random.standard_normal(shape)
        tensors[f"features.{layer}.bias"] = 0.1 * random.standard_normal(width)
        tensors[f"lin{stage}.model.1.weight"] = 0.5 * random.random((1, width, 1, 1))
    return {name: value.astype(np.float32) for name, value in tensors.items()}


def few_shot_images() -> dict[str, np.ndarray]:
    """Three examples and 24 images between them, uint8 (n, 40, 40, 3)."""
    random = np.random.default_rng(12)
    examples = random.integers(0, 256, (3, 5, 5, 3)).repeat(8, axis=1).repeat(8, axis=2)
    mixed = random.dirichlet([0.5] * 3, 24) @ examples.reshape(3, -1)
    noisy = mixed.reshape(24, 40, 40, 3) + random.normal(0.0, 25.0, (24, 40, 40, 3))
    images = np.clip(np.round(noisy), 0, 255).astype(np.uint8)
    return {"examples": examples.astype(np.uint8), "images": images}


def few_shot_figures(images: np.ndarray, examples: np.ndarray) -> dict[str, float]:
    """The published protocol, with the distances of PyPI `lpips`."""
    import lpips
    import torch

    distance = lpips.LPIPS(net="alex", pretrained=False, pnet_rand=True, verbose=False)
    tensors = alexnet_tensors()
    for name, value in distance.state_dict().items():
        parts = name.split(".")
        if parts[0] == "net":
            value.copy_(torch.from_numpy(tensors[f"features.{parts[2]}.{parts[3]}"]))
        elif name in tensors:
            value.copy_(torch.from_numpy(tensors[name]))

    def lpips_of(a, b):
        pair = [
            torch.from_numpy(x.transpose(2, 0, 1)[None] / np.float32(127.5) - 1) for x in (a, b)
        ]
        with torch.no_grad():
            return distance(*pair).item()

    nearest = np.array([np.argmin([lpips_of(x, e) for e in examples]) for x in images])
    means, sizes = [], []
    for example in range(len(examples)):
        members = np.flatnonzero(nearest == example)
        pairs = list(itertools.combinations(members, 2))
        sizes.append(len(members))
        if pairs:
            means.append(np.mean([lpips_of(images[i], images[j]) for i, j in pairs]))
    return {"mean": float(np.mean(means)), "std": float(np.std(means)), "sizes": sizes}


def recorded(net, features_of) -> dict[str, np.ndarray]:
    """Random weights, also of parameters that start as zeros or ones; images, and features."""
    import torch

    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, value in net.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            is_scale = name.endswith("gamma") or (value.ndim == 1 and name.endswith("weight"))
            value.copy_(1.0 + 0.2 * noise if is_scale else 0.15 * noise)
    net.eval()
    images = torch.rand((2, 3, 42, 42), generator=torch.Generator().manual_seed(3)) * 4 - 2
    with torch.no_grad():
        features = features_of(images)
    found = {f"weights/{name}": value.numpy() for name, value in net.state_dict().items()}
    return found | {"images": images.numpy(), "features": features.numpy()}


def dinov2_net() -> dict[str, np.ndarray]:
    from dinov2.models.vision_transformer import DinoVisionTransformer

    sizes = {"img_size": 70, "patch_size": 14, "embed_dim": 24, "depth": 2, "num_heads": 2}
    net = DinoVisionTransformer(**sizes, init_values=1.0, block_chunks=0)
    return recorded(net, lambda images: net(images))


def clip_net() -> dict[str, np.ndarray]:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=24,
        intermediate_size=96,
        projection_dim=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=42,
        patch_size=14,
    )
    net = CLIPVisionModelWithProjection(config)
    return recorded(net, lambda images: net(pixel_values=images).image_embeds)


def main(checkouts: str) -> None:
    for name in ("fld", "dgm-eval", "torch-fidelity"):
        sys.path.insert(0, str(pathlib.Path(checkouts) / name))
    sets = feature_sets()
    found = {
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "figures": figures(sets) | {"intra_lpips": few_shot_figures(**few_shot_images())},
    }
    FOLDER.mkdir(exist_ok=True)
    np.savez_compressed(FOLDER / "features.npz", **sets)
    np.savez_compressed(FOLDER / "few_shot.npz", **few_shot_images())
    np.savez_compressed(FOLDER / "dinov2.npz", **dinov2_net())
    np.savez_compressed(FOLDER / "clip.npz", **clip_net())
    (FOLDER / "figures.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
