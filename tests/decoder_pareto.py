"""`python -m tests.decoder_pareto --checkpoint=runs/demo --output=runs/demo_pareto`: all decoders.

Draws images with every decoder of a masked transformer and several numbers of iterations, and
compares quality with passes through the net: `pareto.md` and, with matplotlib, `pareto.png`. Each
point is kept in a file of its own; the same command continues, and adds points for other
--iterations or --only. Guidance is 0 for all, because not every decoder has it. Not collected by
pytest.

A pass is the net on the whole sequence of one image. Decoders that recompute a part of the
positions are counted by that part (`approximate.recomputed_share`); one that stops early, by the
iterations that it took.
"""

import argparse
import dataclasses
import pathlib
from typing import Any

import numpy as np

from vpt_gen.data.batches import open_sources
from vpt_gen.decode import approximate, halton
from vpt_gen.evaluation import report, spaces
from vpt_gen.evaluation.features import Extractor
from vpt_gen.evaluation.image_sets import in_memory, judge_images, real_sets
from vpt_gen.evaluation.measure import measure
from vpt_gen.evaluation.yardstick import Yardstick
from vpt_gen.images.codec import to_uint8
from vpt_gen.machine import files, json_files, lock, sharding
from vpt_gen.runs.generation import even_class_ids, plain_generation
from vpt_gen.runs.opened import TunedRun, open_run

# Name of a curve -> options. `choice_temperature` is the demo's.
CURVES: dict[str, dict[str, Any]] = {
    "confidence": {"decoder": "confidence", "choice_temperature": 1.0},
    "halton": {"decoder": "halton"},
    "moment": {"decoder": "moment", "choice_temperature": 1.0},
    "entropy": {"decoder": "entropy"},
    "entropy, bound 4": {"decoder": "entropy", "entropy_bound": 4.0},
    "remasking, rescale": {"decoder": "remasking", "remask": "rescale"},
    "remasking, confidence": {"decoder": "remasking", "remask": "confidence"},
    "path_planning": {"decoder": "path_planning"},
    "frontier, 4": {"decoder": "frontier", "refresh_every": 4},
    "frontier": {"decoder": "frontier"},
    "masked": {"decoder": "masked"},
}
FIGURES = ("class_agreement", "frechet", "precision", "recall")


def passes(options: dict[str, Any], revealed_at: np.ndarray, prefix: int) -> float:
    """Passes per image, on average, from the order (B, N) of its tokens."""
    count, num_tokens = options["num_iterations"], revealed_at.shape[1]
    if options["decoder"] in approximate.RECOMPUTE:
        counts = halton.reveal_counts(num_tokens, count, options["schedule"])
        every = options["refresh_every"]
        share = approximate.recomputed_share(counts, options["decoder"], every, prefix)
        return count * share
    if options.get("entropy_bound"):
        return float(np.mean(revealed_at.max(axis=1) + 1))
    return float(count)


def yardstick_of(run: TunedRun) -> Yardstick:
    """The run's held-out images in its tokenizer's features."""
    space = spaces.open_space("tokenizer", "", run.tokenizer, run.config.data.image_size)
    sets = real_sets(run.config, *open_sources(run.config))
    extractor = Extractor(space, sharding.make_mesh())
    return Yardstick(extractor, *sets, run.config.seed, None, judge_images(run.config))


def point(run: TunedRun, yardstick: Yardstick, options: dict[str, Any], num: int, seed: int):
    """Draws and measures one point: its passes and figures."""
    sampler = run.token_sampler.with_options(refresh_every=0, guidance=0.0)
    sampler = sampler.with_options(**options)
    drawn = dataclasses.replace(run, sampler=sampler)
    classes = even_class_ids(num, len(run.facts["class_names"]))
    generation = plain_generation(drawn, classes, seed)
    samples = generation.samples()
    images = dataclasses.replace(
        generation.image_set(class_counts="even"), stream=in_memory(to_uint8(samples.images))
    )
    found, _ = measure(yardstick, images)
    prefix = run.config.prompt.num_prompt_tokens
    made = {"passes": passes({**sampler.options}, samples.revealed_at, prefix)}
    return made | {name: value.value for name, value in found.values.items()}


def table(points: dict[tuple[str, int], dict[str, float]]) -> str:
    """All points as a table in Markdown, by passes; best values are not marked."""
    names = [name for name in FIGURES if any(name in made for made in points.values())]
    head = ["decoder", "iterations", "passes", *map(report.label, names)]
    lines = [" | ".join(head), "|".join(["---", *["---:"] * (len(head) - 1)])]
    for (curve, count), made in sorted(points.items(), key=lambda of: (of[1]["passes"], of[0])):
        cells = [f"{made[name]:.4g}" if name in made else "" for name in names]
        lines.append(" | ".join([curve, str(count), f"{made['passes']:.1f}", *cells]))
    return "".join(f"| {line} |\n" for line in lines)


def plot(points: dict[tuple[str, int], dict[str, float]], path: pathlib.Path) -> None:
    """One line per curve, for the agreement and for the distance."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axes = figure.subplots(1, 2)
    markers = dict(zip(CURVES, "osD^vP*Xd<>", strict=True))
    for axis, name in zip(axes, FIGURES[:2], strict=True):
        for curve, marker in markers.items():
            of = sorted((p["passes"], p[name]) for (c, _), p in points.items() if c == curve)
            if of:
                axis.plot(*zip(*of, strict=True), marker=marker, label=curve, linewidth=1)
        axis.set_xscale("log", base=2)
        axis.set_xlabel("passes through the net")
        axis.set_title(report.label(name), fontsize=10)
        axis.grid(color="0.9")
    axes[1].set_yscale("log")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right", fontsize=8)
    with files.written_whole(path) as partial:
        figure.savefig(str(partial), format="png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--output", required=True, type=pathlib.Path)
    parser.add_argument("--iterations", default="8,4,16,32", help="in the order to measure")
    parser.add_argument("--num", type=int, default=500, help="images per point")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=CURVES, action="append", help="curves; all by default")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    with lock.held(args.output, "--output"):
        run = open_run(args.checkpoint)
        same = {"step": run.step, "num": args.num, "seed": args.seed}
        yardstick = None
        for count in map(int, args.iterations.split(",")):
            for curve in args.only or CURVES:
                path = args.output / f"{curve.replace(', ', '_').replace(' ', '_')}_{count}.json"
                if path.exists():
                    continue
                yardstick = yardstick or yardstick_of(run)
                options = {**CURVES[curve], "num_iterations": count}
                made = point(run, yardstick, options, args.num, args.seed)
                record = {"curve": curve, "iterations": count, **same, "options": options}
                files.write_json(path, {**record, "point": made})
                print(curve, count, {name: made.get(name) for name in ("passes", *FIGURES)})
        gather(args.output, same)


def gather(output: pathlib.Path, same: dict[str, int]) -> None:
    """Writes the table and the plot of all points of a folder, which must be alike."""
    points = {}
    for path in sorted(output.glob("*.json")):
        record = json_files.read_object(path, "delete it, and measure again")
        if other := [name for name, value in same.items() if record[name] != value]:
            raise SystemExit(f"{path} has another {other[0]}; choose another --output.")
        points[record["curve"], record["iterations"]] = record["point"]
    files.write_text(output / "pareto.md", table(points))
    plot(points, output / "pareto.png")
    print(table(points))


if __name__ == "__main__":
    main()
