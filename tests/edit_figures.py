"""`python -m tests.edit_figures --checkpoint=runs/demo --output=runs/demo_edits`: repainted boxes.

Hides boxes in held-out images and repaints them with the run's prompts, with the source's own class
that acts most like them (`runs/likeness.py`), if it has classes, and without a condition. Writes
`edits.md`, a table with the spread over seeds, `edits.json` and `edits.png`. Not collected by
pytest.

Each seed draws images, boxes and tokens, which are the same for all that is compared. New pixels do
not fade in, which would hide the seam. Next to the edits stand the real image, its reconstruction
in the box (the tokenizer's limit), and another image of its class in the box, which knows the class
but not the image. A causal transformer repaints the lowest rows instead of boxes.

- squared error: mean of the box's pixels, in [0, 1], from those hidden.
- distance: Euclidean, of whole images in the run's feature space. A tokenizer's features do not see
  its own errors.
- class agreement: share of whole images whose class the run's classifier predicts.
- seam: mean step between neighboring pixels across the border of the box, by that inside of it.
  Best if equal to that of real images.
"""

import argparse
import dataclasses
import fractions
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from vpt_gen.data.batches import open_sources
from vpt_gen.evaluation import reconstructed, spaces
from vpt_gen.evaluation.features import Extractor
from vpt_gen.evaluation.image_sets import ImageSet, judge_images, real_sets
from vpt_gen.evaluation.yardstick import Yardstick, numbers_in
from vpt_gen.images import grids
from vpt_gen.machine import files, lock
from vpt_gen.nets.transformer import NO_CLASS, TokenTransformer
from vpt_gen.report.likeness import num_source_classes
from vpt_gen.runs.editing import Brush, Edit, repaint
from vpt_gen.runs.generation import plain_generation
from vpt_gen.runs.likeness import Likeness, images_for, likenesses
from vpt_gen.runs.measured import measuring_tokenizer
from vpt_gen.runs.opened import TunedRun, open_run
from vpt_gen.runs.samples import class_bank

SHARES = ("1/8", "1/4", "1/2")  # of the tokens
REAL, TOKENIZER, OTHER = "real image", "tokenizer's limit", "another image of the class"
PROMPTS, CLASS, NOTHING = "prompts", "source's class", "no condition"
MEASURES = ("squared error", "distance", "class agreement", "seam")
_BATCH, _COLUMNS = 8, 10

# Of one size and seed: what was painted with -> measure -> value.
Figures = dict[str, dict[str, float]]


@dataclasses.dataclass(frozen=True)
class Given:
    """The images of a seed.

    Attributes:
      seed: of images, boxes and tokens.
      images: uint8 (n, H, W, 3).
      reconstructions: of the images, alike.
      labels: (n,) classes of the run.
    """

    seed: int
    images: np.ndarray
    reconstructions: np.ndarray
    labels: np.ndarray

    @property
    def others(self) -> np.ndarray:
        """Another of the images for each, of its class."""
        numbers = np.arange(len(self.labels))
        for label in np.unique(self.labels):
            numbers[self.labels == label] = np.roll(numbers[self.labels == label], 1)
        return self.images[numbers]


def check_run(run: TunedRun) -> None:
    """Exits if a run's class prompts cannot repaint a box."""
    if run.merged or not (run.has_prompts and run.token_sampler.method.num_classes):
        raise SystemExit(f"{run.workdir} is not one run of class prompts: choose another one.")
    if run.token_sampler.transformer.one_dimensional:
        raise SystemExit(f"{run.workdir} adapts a net whose tokens have no places to repaint.")


def yardstick_of(run: TunedRun) -> Yardstick:
    """Real images in the run's feature space; the reference has the run's numbers of classes."""
    config, sources = run.config, open_sources(run.config)
    if sources[0].digest != run.facts["data"]:
        raise SystemExit(f"The training images of {run.workdir} have changed since its training.")
    reference, train = real_sets(config, *sources)
    if train is None:
        raise SystemExit(f"{run.workdir} holds no images out: train with config.data.holdout=0.2.")
    labels = numbers_in(train, reference, reference.labels)
    reference = dataclasses.replace(reference, labels=labels, class_names=train.class_names)
    tokenizer, of = measuring_tokenizer(config, run.tokenizer), config.evaluation
    space = spaces.open_space(of.features, of.weights_dir, tokenizer, config.data.image_size)
    extractor = Extractor(space, run.sampler.mesh)
    return Yardstick(extractor, reference, train, config.seed, None, judge_images(config))


def choose(labels: np.ndarray, num: int, seed: int) -> np.ndarray:
    """Marks about `num` of the images (n,), as many of each class with two images or more."""
    random = np.random.default_rng(seed)
    classes, counts = np.unique(labels, return_counts=True)
    usable = classes[counts > 1]
    if not len(usable):
        raise SystemExit("No class has two held-out images: hold more out by config.data.holdout.")
    chosen = np.zeros(len(labels), bool)
    for label in usable:
        of_class = random.permutation(np.flatnonzero(labels == label))
        chosen[of_class[: max(num // len(usable), 2)]] = True
    return chosen


def given_of(run: TunedRun, reference: ImageSet, num: int, seeds: range) -> Iterator[Given]:
    """Yields the held-out images of each seed."""
    chosen = [choose(reference.labels, num, seed) for seed in seeds]
    streams = [reference.stream(marked) for marked in chosen]
    images = (image for stream in streams for image in stream)
    size = _BATCH * run.sampler.mesh.size
    pairs = reconstructed.batches(run.tokenizer, images, size, run.sampler.mesh)
    real, made = (np.concatenate(x) for x in list(zip(*pairs, strict=True))[:2])
    ends = np.cumsum([marked.sum() for marked in chosen])
    parts = zip(np.split(real, ends[:-1]), np.split(made, ends[:-1]), strict=True)
    for seed, marked, part in zip(seeds, chosen, parts, strict=True):
        yield Given(seed, *part, reference.labels[marked])


def box(
    net: TokenTransformer, num_tokens: int, share: float, random: np.random.Generator
) -> np.ndarray:
    """Marks a box (h, w) of tokens, as square as its share allows, anywhere; see above for AR."""
    height, width = net.grid(num_tokens)
    marked = np.zeros((height, width), bool)
    if net.family == "ar":
        marked[-max(round(share * height), 1) :] = True
        return marked
    sides = [(h, w) for h in range(1, height + 1) for w in range(1, width + 1)]
    misfits = [(abs(h * w - share * num_tokens), abs(h - w)) for h, w in sides]
    best = min(misfits)
    fitting = [size for size, misfit in zip(sides, misfits, strict=True) if misfit == best]
    h, w = random.choice(fitting)
    top, left = random.integers(height - h + 1), random.integers(width - w + 1)
    marked[top : top + h, left : left + w] = True
    return marked


def masks_of(run: TunedRun, given: Given, share: str) -> np.ndarray:
    """One box for each image: its pixels (n, H, W)."""
    sampler = run.token_sampler
    random = np.random.default_rng([given.seed, SHARES.index(share)])
    part = float(fractions.Fraction(share))
    boxes = [box(sampler.transformer, sampler.num_tokens, part, random) for _ in given.images]
    return grids.enlarged(np.stack(boxes), *given.images.shape[1:3])


def runs_of(run: TunedRun, likest: list[Likeness]) -> dict[str, TunedRun]:
    """The run, and its source under classes of its own, if `likest` has some, and under none."""

    def conditions(of_classes, class_ids, instance_ids=None, dropout_key=None):
        del instance_ids, dropout_key
        return {"class_ids": of_classes[class_ids]}

    sampler = run.token_sampler
    method = dataclasses.replace(
        sampler.method, params=lambda frozen, _: frozen, conditions=conditions, generator=None
    )
    source = dataclasses.replace(sampler, method=method)  # One for both compiles once.
    tables = {NOTHING: np.full(sampler.method.num_classes, NO_CLASS, np.int32)}
    if likest:
        tables = {CLASS: np.array([alike[0][0] for alike in likest], np.int32)} | tables
    return {PROMPTS: run} | {
        name: dataclasses.replace(run, sampler=source, params=table)
        for name, table in tables.items()
    }


def edited(runs: dict[str, TunedRun], given: Given, masks: np.ndarray) -> dict[str, np.ndarray]:
    """All images to compare, uint8 (n, H, W, 3), by what their boxes were painted with."""

    def pasted(inside):
        return np.where(masks[..., None], inside, given.images)

    bank, numbers = class_bank(given.labels), range(len(masks))
    edits = [Edit(*of) for of in zip(given.images, masks, bank, numbers, strict=True)]
    made = {
        name: np.stack(repaint(run, edits, Brush(feather=0.0), given.seed))
        for name, run in runs.items()
    }
    best = {REAL: given.images, TOKENIZER: pasted(given.reconstructions)}
    return best | made | {OTHER: pasted(given.others)}


def seam(images: np.ndarray, masks: np.ndarray) -> float:
    """Mean step across the borders of masks (n, H, W) by that inside, over all images."""
    across, inside = [], []
    for axes in ((0, 1, 2), (0, 2, 1)):
        pixels, mask = images.transpose(*axes, 3) / np.float32(255.0), masks.transpose(axes)
        steps = np.abs(np.diff(pixels, axis=1)).mean(axis=-1)
        above, below = mask[:, :-1], mask[:, 1:]
        across.append(steps[above != below])
        inside.append(steps[above & below])
    return float(np.concatenate(across).mean() / np.concatenate(inside).mean())


def figures(
    yardstick: Yardstick, given: Given, masks: np.ndarray, images: dict[str, np.ndarray]
) -> Figures:
    """Measures all images of a size and seed."""
    space, found = yardstick.extractor.space, {}
    real = images[REAL]
    features = {
        name: rows_of(yardstick.extractor, made, (space.near, space.classes))
        for name, made in images.items()
    }
    for name, made in images.items():
        squares = ((made / 255.0 - real / 255.0) ** 2)[masks]
        apart = features[name][space.near] - features[REAL][space.near]
        values = (
            squares.mean(),
            np.linalg.norm(apart, axis=1).mean(),
            yardstick.classifier.agreement(features[name][space.classes], given.labels),
            seam(made, masks),
        )
        found[name] = dict(zip(MEASURES, map(float, values), strict=True))
    return found


def rows_of(
    extractor: Extractor, images: np.ndarray, names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Features (n, d) of images, by name."""
    batches = list(extractor.stream([images]))
    return {name: np.concatenate([batch[name] for batch in batches]) for name in set(names)}


def table(found: dict[str, list[Figures]]) -> str:
    """All sizes as a table in Markdown: mean ± standard deviation over the seeds.

    Its last rows of a size are differences from the edits with prompts, seed by seed.
    """
    lines = [" | ".join(["box", "painted with", *MEASURES])]
    lines += ["|".join(["---", "---", *["---:"] * len(MEASURES)])]
    for share, of_seeds in found.items():
        rows = {
            name: [[of[name][measure] for of in of_seeds] for measure in MEASURES]
            for name in of_seeds[0]
        }
        for name in [of for of in (CLASS, NOTHING) if of in rows]:
            less = np.subtract(rows[PROMPTS], rows[name])
            rows[f"{PROMPTS} - {name}"] = less.tolist()
        lines += [" | ".join([share, name, *map(cell, row)]) for name, row in rows.items()]
    return "".join(f"| {line} |\n" for line in lines)


def cell(values: list[float]) -> str:
    return f"{np.mean(values):.3g} ± {np.std(values, ddof=1):.1g}"


def picture(
    given: Given, masks: dict[str, np.ndarray], images: dict[str, dict[str, np.ndarray]]
) -> np.ndarray:
    """The first images of the classes with their boxes hidden, and all that is compared."""
    shown = np.flatnonzero(grids.in_strip(given.labels))[:_COLUMNS]
    rows = {REAL: given.images}
    for share, made in images.items():
        rows[f"{share} hidden"] = np.where(masks[share][..., None], np.uint8(128), given.images)
        rows |= {f"{share} {name}": of for name, of in made.items() if name != REAL}
    return grids.labeled_rows({name: of[shown] / np.float32(255.0) for name, of in rows.items()})


def named(run: TunedRun, likest: list[Likeness]) -> dict[str, Any]:
    """Class of the run -> the source's class that acts most like its prompts."""
    names = run.nets["transformer"].about.get("class_names", ())
    found = {}
    for label, ((number, divergence), *_) in enumerate(likest):
        name = names[number] if number < len(names) else number
        found[run.facts["class_names"][label]] = {"class": name, "divergence": divergence}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--output", required=True, type=pathlib.Path)
    parser.add_argument("--num", type=int, default=100, help="images per seed, evenly per class")
    parser.add_argument("--seeds", type=int, default=3, help="two or more, for their spread")
    args = parser.parse_args()
    if args.seeds < 2:
        parser.error("--seeds must be 2 or more: the table shows the spread over them.")
    args.output.mkdir(parents=True, exist_ok=True)
    with lock.held(args.output, "--output"):
        run = open_run(args.checkpoint)
        measure(run, args.output, args.num, range(args.seeds))


def measure(run: TunedRun, output: pathlib.Path, num: int, seeds: range) -> None:
    """Measures a run's edits of `num` held-out images per seed, and writes what was found."""
    check_run(run)
    yardstick = yardstick_of(run)
    classes, count = np.arange(len(run.facts["class_names"])), num_source_classes(run)
    tokens = images_for(run, classes, seeds[0]).samples().tokens
    likest = likenesses(run, classes, count, tokens) if count else []
    runs = runs_of(run, likest)
    found: dict[str, list[Figures]] = {share: [] for share in SHARES}
    for given in given_of(run, yardstick.reference, num, seeds):
        masks = {share: masks_of(run, given, share) for share in SHARES}
        images = {share: edited(runs, given, masks[share]) for share in SHARES}
        for share, made in images.items():
            found[share].append(figures(yardstick, given, masks[share], made))
        if given.seed == seeds[0]:
            grids.save_png(output / "edits.png", picture(given, masks, images))
    record = {
        "generation": plain_generation(run, classes, seeds[0]).record(),
        "features": {
            "space": yardstick.extractor.space.name,
            "near": yardstick.extractor.space.near,
        },
        "held_out": yardstick.reference.record,
        "num": num,
        "seeds": list(seeds),
        "source_classes": named(run, likest),
        "figures": found,
    }
    files.write_json(output / "edits.json", record)
    files.write_text(output / "edits.md", table(found))
    print(table(found))


if __name__ == "__main__":
    main()
