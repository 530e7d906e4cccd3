"""`python -m vpt_gen.evaluate --checkpoint=runs/demo`: compares generated with real images.

The generated images are drawn from a run of a method, or are in a folder (--images). They are
compared with the data of a config, by default the run's own, or with a folder (--reference). Prints
a table and writes `metrics.json`, in which each metric has everything needed to reproduce it. The
same command gives the same numbers.

With --distributed, several processes draw and extract features together, and the first measures.
Features of real images are kept in $VPT_GEN_CACHE (by default ~/.cache/vpt_gen), under `features/`.
"""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
from absl import flags
from etils import epath

from vpt_gen import cli
from vpt_gen.evaluate.flags import check_flags, define_flags
from vpt_gen.images import grids
from vpt_gen.machine import distributed, later, lock
from vpt_gen.machine.manifest import Manifest
from vpt_gen.machine.progress import say
from vpt_gen.runs import request

with later.imports(globals()):
    import jax

    from vpt_gen.evaluate.drawn import draw_from_run
    from vpt_gen.evaluate.real import (
        choose_features,
        open_features,
        open_folder_set,
        open_real_sets,
    )
    from vpt_gen.evaluation import report
    from vpt_gen.evaluation.features import Extractor
    from vpt_gen.evaluation.image_sets import ImageSet
    from vpt_gen.evaluation.measure import measure, pictured
    from vpt_gen.evaluation.metrics import check_requested
    from vpt_gen.evaluation.perceptual_diversity import find_perceptual
    from vpt_gen.evaluation.shared_features import SharedFeatures
    from vpt_gen.evaluation.yardstick import Yardstick
    from vpt_gen.machine import sharding
    from vpt_gen.runs.opened import TunedRun
    from vpt_gen.runs.stored import default_output

FLAGS = flags.FLAGS


def output_folder() -> epath.Path | pathlib.Path:
    """Returns the folder of `metrics.json`."""
    if FLAGS.output:
        return epath.Path(FLAGS.output)
    if FLAGS.checkpoint:
        return default_output(FLAGS.checkpoint, "evaluation")
    folder = pathlib.Path(FLAGS.images).absolute()
    return folder.with_name(f"{folder.name}_evaluation")


def _shared() -> SharedFeatures:
    """Returns the features that several processes share until the end."""
    return SharedFeatures(epath.Path(output_folder()) / ".vpt_gen_features")


def main():
    """Runs the program; its flags are parsed."""
    check_flags()
    distributed.start(apart=True)
    with lock.held_for_all(output_folder(), "--output"):
        evaluate()


def evaluate() -> None:
    """Measures images of a run, or those of --images, and writes the metrics.

    The output folder is one that no other program writes to.
    """
    manifest = report.open_manifest(output_folder(), [grids.STRIP] if FLAGS.checkpoint else [])
    run = request.open_flagged_run() if FLAGS.checkpoint else None
    features = FLAGS.features or choose_features(run)
    check_requested(FLAGS.also, features, "--also")
    reference, train, judge = open_real_sets(run)
    generated = draw_from_run(run, reference) if run else open_folder_set(FLAGS.images)
    mesh = sharding.make_mesh(jax.local_devices())
    extractor = Extractor(open_features(features, run), mesh, FLAGS.batch_size)
    yardstick = Yardstick(
        extractor,
        reference,
        train,
        FLAGS.seed,
        find_perceptual(FLAGS.weights_dir),
        judge,
        frozenset(FLAGS.also),
        _shared() if FLAGS.distributed else None,
    )
    shown = grids.in_strip(generated.labels)
    if yardstick.shared:
        yardstick.extract_together(generated, pictured(yardstick, generated, shown))
    distributed.first_does(lambda: _measure(yardstick, generated, shown, run, manifest))


def _measure(
    yardstick: Yardstick,
    generated: ImageSet,
    shown: np.ndarray,
    run: TunedRun | None,
    manifest: Manifest,
) -> None:
    """Measures, and writes and prints the metrics, and the images `shown` (n,) of a run."""
    features = yardstick.extractor.space.name
    settled: dict[str, Any] = {"features": features, "seed": FLAGS.seed}
    if run:
        settled |= {"step": run.step, "num": len(generated)}
        settled["class_counts"] = generated.record["class_counts"]
    found, measured = measure(yardstick, generated, shown)
    command = cli.command("vpt_gen.evaluate", settled, distributed.FLAGS)
    record = report.make_record(found, report.protocol(yardstick, generated, command))
    manifest.begin()
    if run:
        pictures = np.stack(measured.pictures_of(shown)) / np.float32(255.0)
        strip = grids.strip(pictures, generated.labels[shown])
        manifest.write({grids.STRIP: grids.as_png(strip)})
    manifest.finish(record)
    say(report.table(record))
    say(f"\nMetrics with their protocols: {output_folder() / report.METRICS}")
    _shared().remove()  # Also those that an interrupted command has left.


if __name__ == "__main__":
    cli.run(main, define_flags, needs_config=False)
