"""`python -m vpt_gen.evaluate --checkpoint=runs/demo`: compares generated with real images.

The generated images are drawn from a run of a method, or are in a folder (--images). They are
compared with the data of a config, by default the run's own, or with a folder (--reference). Prints
a table and writes `metrics.json`, in which each figure has everything needed to reproduce it. The
same command gives the same numbers.

Features of real images are kept in $VPT_GEN_CACHE (by default ~/.cache/vpt_gen), under `features/`.
"""

import dataclasses
import pathlib
from typing import Any

import numpy as np
from absl import flags
from etils import epath

from vpt_gen import cli
from vpt_gen.evaluate.flags import check_flags, define_flags
from vpt_gen.evaluation import spaces
from vpt_gen.images import grids
from vpt_gen.machine import later, lock
from vpt_gen.machine.progress import say
from vpt_gen.runs import request

with later.imports(globals()):
    from vpt_gen.evaluate.drawn import draw_from_run
    from vpt_gen.evaluate.real import open_features, open_folder_set, open_real_sets
    from vpt_gen.evaluation import report
    from vpt_gen.evaluation.features import Extractor
    from vpt_gen.evaluation.image_sets import tapped
    from vpt_gen.evaluation.measure import measure
    from vpt_gen.evaluation.metrics import check_requested
    from vpt_gen.evaluation.perceptual_diversity import find_perceptual
    from vpt_gen.evaluation.yardstick import Yardstick
    from vpt_gen.machine import sharding
    from vpt_gen.runs.stored import default_output

FLAGS = flags.FLAGS


def output_folder() -> epath.Path | pathlib.Path:
    """Returns the folder of `metrics.json`."""
    if FLAGS.output:
        return epath.Path(FLAGS.output).expanduser()
    if FLAGS.checkpoint:
        return default_output(FLAGS.checkpoint, "evaluation")
    folder = pathlib.Path(FLAGS.images).expanduser().absolute()
    return folder.with_name(f"{folder.name}_evaluation")


def main():
    """Runs the program; its flags are parsed."""
    check_flags()
    with lock.held(output_folder(), "--output"):
        evaluate()


def evaluate() -> None:
    """Measures images of a run, or those of --images, and writes the figures.

    The output folder is one that no other program writes to.
    """
    folder = output_folder()
    manifest = report.open_manifest(folder, [grids.STRIP] if FLAGS.checkpoint else [])
    features = FLAGS.features or spaces.choose_space(FLAGS.weights_dir)
    check_requested(FLAGS.also, features, "--also")
    run = request.open_flagged_run() if FLAGS.checkpoint else None
    reference, train, judge = open_real_sets(run)
    generated = draw_from_run(run, reference) if run else open_folder_set(FLAGS.images)
    extractor = Extractor(open_features(features, run), sharding.make_mesh(), FLAGS.batch_size)
    yardstick = Yardstick(
        extractor,
        reference,
        train,
        FLAGS.seed,
        find_perceptual(FLAGS.weights_dir),
        judge,
        frozenset(FLAGS.also),
    )
    settled: dict[str, Any] = {"features": features, "seed": FLAGS.seed}
    if run:
        settled |= {"step": run.step, "num": len(generated)}
        settled["class_counts"] = generated.record["class_counts"]
    shown = grids.in_strip(generated.labels)
    pictures: list[np.ndarray] = []
    found, _ = measure(
        yardstick,
        dataclasses.replace(generated, stream=lambda: tapped(generated.stream(), shown, pictures)),
    )
    record = report.make_record(
        found, report.protocol(yardstick, generated, cli.command("vpt_gen.evaluate", settled))
    )
    manifest.begin()
    if run:
        strip = grids.strip(np.stack(pictures) / np.float32(255.0), generated.labels[shown])
        manifest.write({grids.STRIP: grids.as_png(strip)})
    manifest.finish(record)
    say(report.table(record))
    say(f"\nFigures with their protocols: {folder / report.METRICS}")


if __name__ == "__main__":
    cli.run(main, define_flags, needs_config=False)
