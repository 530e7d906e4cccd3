"""`python -m vpt_gen.export --checkpoint=runs/demo`: what a run trained, as one file to share.

Writes `tuned.safetensors` (the prompts, or the method's parameters, with the run's record; never
the frozen nets), `README.md` (a model card) and `samples.png` into a folder, and with --push
uploads the three to the Hugging Face Hub. The file, or its address there, takes the place of a
workdir in `vpt_gen.sample`, `vpt_gen.evaluate` and `vpt_gen.gallery`: the same images, bit for bit.

Several --checkpoint on one backbone become one file with the classes of all. The images of a
class do not change: nothing that is trained is shared, and the backbone is frozen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from absl import flags
from etils import epath

from vpt_gen import cli
from vpt_gen.checkpoints import hub
from vpt_gen.errors import UserError
from vpt_gen.export import CARD, PICTURE
from vpt_gen.images import grids
from vpt_gen.machine import later, lock, network
from vpt_gen.machine.files import absolute, in_bucket
from vpt_gen.machine.manifest import Manifest
from vpt_gen.machine.number_flags import define_number
from vpt_gen.machine.progress import say
from vpt_gen.ranges import Count, Seed, UpdatesOrZero
from vpt_gen.runs.request import CHECKPOINT

with later.imports(globals()):
    import jax

    from vpt_gen.checkpoints import arrival, tuned_file
    from vpt_gen.checkpoints.tuned_file import StoredRun
    from vpt_gen.export.card import license_of, make_card
    from vpt_gen.runs.generation import plain_generation
    from vpt_gen.runs.opened import TunedRun, open_stored
    from vpt_gen.runs.stored import default_output, read_stored
    from vpt_gen.training.compute import as_published

FLAGS = flags.FLAGS
NOTE = "export.json"
_MOST_CLASSES = 20  # in the picture


def define_flags() -> None:
    """Defines the flags; not at import, so that programs can share a process."""
    flags.DEFINE_multi_string(
        "checkpoint", None, f"{CHECKPOINT} May be repeated, to merge runs.", required=True
    )
    define_number(
        "step", None, UpdatesOrZero, "Update of the checkpoint to open; by default the newest."
    )
    flags.DEFINE_list(
        "prefix",
        [],
        "One word per --checkpoint, which goes before the names of its classes, as in toys/cat; "
        "needed if two have a class of the same name.",
    )
    flags.DEFINE_multi_string(
        "set",
        [],
        "A decoding option to record instead of the run's own, such as num_iterations=8 (may be "
        "repeated).",
    )
    define_number("num", 8, Count, "Images per class in the picture.")
    define_number("seed", 0, Seed, "Seed of the picture.")
    flags.DEFINE_string("output", None, "Folder to write; by default <checkpoint>/export.")
    flags.DEFINE_string("license", "", "License that you give what was trained, such as cc-by-4.0.")
    flags.DEFINE_string("push", "", "Also upload to this repository, <owner>/<name>, of the Hub.")
    flags.DEFINE_bool("private", False, "With --push: make a new repository private.")
    flags.DEFINE_string("transformer", "", "The adapted transformer or BigGAN, if it has moved.")
    flags.DEFINE_string("tokenizer", "", "The frozen tokenizer, if it has moved.")
    network.define_flags()


def main():
    """Runs the program; its flags are parsed."""
    folder = absolute(str(FLAGS.output or default_output(FLAGS.checkpoint[0], "export")))
    _check_flags(folder)
    with lock.held(folder, "--output"):
        export(folder)
    if FLAGS.push:
        say(f"Uploading to {FLAGS.push}")
        files = [hub.FILE, CARD, PICTURE]
        say(f"Pushed: {hub.push(folder, files, FLAGS.push, FLAGS.private)}")
        say(f"Use it: python -m vpt_gen.sample --checkpoint={hub.SCHEME}{FLAGS.push}")


def _check_flags(folder: epath.Path) -> None:
    if FLAGS.prefix and len(FLAGS.prefix) != len(FLAGS.checkpoint):
        raise UserError(
            f"--prefix has {len(FLAGS.prefix)} words for {len(FLAGS.checkpoint)} checkpoints: give "
            "one per --checkpoint, in their order."
        )
    if FLAGS.step is not None and len(FLAGS.checkpoint) > 1:
        raise UserError("--step needs a single --checkpoint; export each run on its own first.")
    if FLAGS.private and not FLAGS.push:
        raise UserError("--private needs --push; leave it out.")
    if FLAGS.push:
        hub.check_push(FLAGS.push)
        if in_bucket(folder):
            raise UserError("--push needs a folder of this machine: give one by --output.")


def export(folder: epath.Path) -> None:
    """Writes the file, its card and its picture to a folder that no other program writes to."""
    manifest = Manifest(folder / NOTE, [hub.FILE, CARD, PICTURE])
    run = open_stored(hub.FILE, _stored(), FLAGS.tokenizer, FLAGS.transformer, FLAGS.set)
    content = tuned_file.serialized([_shared(one) for one in run.merged or (run,)])
    picture = _picture(run)
    checkpoint = f"{hub.SCHEME}{FLAGS.push}" if FLAGS.push else hub.FILE
    files = {
        hub.FILE: content,
        CARD: make_card(run, checkpoint, len(content), FLAGS.license).encode(),
        PICTURE: grids.as_png(picture),
    }
    manifest.begin()
    manifest.write(files)
    manifest.finish({"command": cli.command("vpt_gen.export", leave_out=("push", "private"))})
    classes = len(run.facts["class_names"])
    say(
        f"Wrote {folder / hub.FILE} ({len(content) / 1e6:.3g} MB, {classes:,} classes), its card "
        f"{CARD} and {PICTURE}."
    )


def _stored() -> list[StoredRun]:
    """Reads the runs of the command line, with prefixes before the names of their classes."""
    runs = []
    for number, checkpoint in enumerate(FLAGS.checkpoint):
        prefix = f"{FLAGS.prefix[number]}/" if FLAGS.prefix else ""
        for run in read_stored(checkpoint, FLAGS.step):
            names = [f"{prefix}{name}" for name in run.facts["class_names"]]
            runs.append(dataclasses.replace(run, facts={**run.facts, "class_names": names}))
    return runs


def _shared(run: TunedRun) -> StoredRun:
    """Returns a run as its file has it."""
    params = run.params
    if run.sampler.has_tokens:
        params = as_published(run.token_sampler.transformer, params)
    named = arrival.chosen(run.config.backbone)
    nets = {
        name: {
            "path": tuned_file.shareable(named[name]),
            "digest": net.digest,
            "license": license_of(net),
        }
        for name, net in run.nets.items()
    }
    params = jax.tree.map(np.asarray, jax.device_get(params))
    return StoredRun(run.workdir, run.config.to_dict(), run.facts, run.step, params, nets)


def _picture(run: TunedRun) -> np.ndarray:
    """Draws the first images of the first classes, unselected, one row per class."""
    names: Sequence[str] = run.facts["class_names"]
    class_ids = np.arange(min(len(names), _MOST_CLASSES)).repeat(FLAGS.num)
    images = plain_generation(run, class_ids, FLAGS.seed).samples().images
    return grids.class_grid(images, class_ids, list(names), FLAGS.num)


if __name__ == "__main__":
    cli.run(main, define_flags)
