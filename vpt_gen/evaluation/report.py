"""The report after prompt tuning: figures before and after, beside those of real images."""

import json
from collections.abc import Mapping

import numpy as np
from etils import epath

from vpt_gen.evaluation import grids
from vpt_gen.evaluation.real import RealImages
from vpt_gen.files import write_text
from vpt_gen.sampler import Samples


def write(
    workdir: str,
    real: RealImages,
    untuned: Samples,
    tuned: Samples,
    reconstructed: tuple[np.ndarray, np.ndarray],
    class_names: list[str],
    facts: Mapping[str, float | int],
) -> None:
    """Prints the table and writes `metrics.json` and the two labelled grids into `workdir`."""
    metrics = {
        "class_agreement_untuned": real.classifier.agreement(untuned.images, untuned.class_ids),
        "class_agreement": real.classifier.agreement(tuned.images, tuned.class_ids),
        "class_agreement_reconstructed": real.classifier.agreement(*reconstructed),
        "class_agreement_real": real.agreement(),
        "frechet_pixels_untuned": real.distance(untuned.images),
        "frechet_pixels": real.distance(tuned.images),
        "frechet_pixels_real": real.floor,
        "num_samples": len(tuned.images),
        **facts,
    }
    folder = epath.Path(workdir)
    for name, samples in (("samples_untuned", untuned), ("samples", tuned)):
        grid = grids.class_grid(samples.images, samples.class_ids, class_names)
        grids.save_png(folder / f"{name}.png", grid)
    write_text(folder / "metrics.json", json.dumps(metrics, indent=1))
    print(table(metrics))
    print(
        f"\nLook at {folder / 'samples.png'} (before tuning: samples_untuned.png); "
        f"figures: {folder / 'metrics.json'}"
    )


def table(metrics: Mapping[str, float | int]) -> str:
    """The figures as people read them."""
    m = metrics
    agreement = [m["class_agreement_untuned"], m["class_agreement"], m["class_agreement_real"]]
    distance = [m["frechet_pixels_untuned"], m["frechet_pixels"], m["frechet_pixels_real"]]
    lines = [
        "",
        f"{'':34}{'untuned':>10}{'tuned':>10}{'real':>10}",
        f"{'class agreement':34}" + "".join(f"{x:>10.1%}" for x in agreement),
        f"{'Frechet distance, pixel PCA':34}" + "".join(f"{x:>10.2f}" for x in distance),
        "",
        f"{'class agreement, reconstructed':34}{m['class_agreement_reconstructed']:>10.1%}"
        "   real held-out images through the tokenizer: its ceiling",
        f"{'images generated':34}{m['num_samples']:>10,}   unselected",
        f"{'parameters trained':34}{m['trainable_parameters']:>10,}",
        f"{'parameters frozen':34}{m['frozen_parameters']:>10,}",
        f"{'seconds of tuning':34}{m['tuning_seconds']:>10.0f}",
    ]
    return "\n".join(lines)
