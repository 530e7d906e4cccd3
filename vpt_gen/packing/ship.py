"""`python -m vpt_gen.packing.ship`: pretraining runs -> the small files in the package.

Stores the nets that `main` exported at half precision, and draws their training curves from the
runs' TensorBoard events, to document how they were made.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import flags
from ml_collections import ConfigDict

from vpt_gen import cli
from vpt_gen.errors import UserError
from vpt_gen.images import grids
from vpt_gen.machine import later, lock
from vpt_gen.machine.array_files import open_npz
from vpt_gen.machine.files import check_writable, written_whole
from vpt_gen.machine.progress import say

with later.imports(globals()):
    import jax
    import jax.numpy as jnp

    from vpt_gen.checkpoints.backbone import PretrainedNet, load_net, save_net
    from vpt_gen.config.migration import migrate
    from vpt_gen.data.batches import image_spec, open_sources
    from vpt_gen.evaluation.curves import Curves, read_curves
    from vpt_gen.evaluation.image_sets import real_images
    from vpt_gen.evaluation.reconstructed import reconstruct
    from vpt_gen.machine import sharding
    from vpt_gen.nets import NETS

FLAGS = flags.FLAGS


@dataclasses.dataclass(frozen=True)
class Family:
    """Nets that ship together.

    Attributes:
      data: file of the training data, for its record.
      runs: net, as its folder is called -> the name of its run, which is that of its config.
    """

    data: str
    runs: Mapping[str, str]


# Folder among the assets -> family.
FAMILIES = {
    "demo": Family(
        "downloads/source_grey.npz",
        {
            "tokenizer": "source_tokenizer",
            "transformer": "source_transformer",
            "transformer_ar": "source_transformer_ar",
            "gan": "source_gan",
        },
    ),
    "photos": Family(
        "downloads/source_photos.npz",
        {
            "features": "photos_features",
            # The last of the tokenizer's two stages.
            "tokenizer": "photos_decoder",
            "transformer": "photos_transformer",
            "transformer_ar": "photos_transformer_ar",
        },
    ),
}


def draw_curves(curves: Curves, path: pathlib.Path) -> None:
    """Draws one panel per curve, into one PNG."""
    from matplotlib.figure import Figure

    columns = 3
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(4 * columns, 2.4 * rows), layout="constrained")
    for panel, (name, (steps, values)) in enumerate(sorted(curves.items()), 1):
        axes = figure.add_subplot(rows, columns, panel)
        axes.plot(steps, values, linewidth=0.8)
        axes.set_title(f"{name}: {values[-1]:.4g}", fontsize=9)
        axes.tick_params(labelsize=7)
    with written_whole(path) as partial, open(partial, "wb") as file:
        figure.savefig(file, dpi=80, format="png")


def draw_reconstructions(net: PretrainedNet, path: pathlib.Path, count: int = 32) -> None:
    """Draws held-out images, evenly over the classes, each with its reconstruction."""
    config = ConfigDict(migrate(net.about["config"]))
    _, held_out = open_sources(config)
    if held_out is None:
        say(
            f"Left out {path}: the tokenizer's run held no images out; to get it, train with "
            "config.data.holdout above 0."
        )
        return
    drawn = held_out.subset(np.linspace(0, len(held_out) - 1, count).astype(int))
    images = real_images(drawn, "held-out images", "holdout", image_spec(config.data))
    found = reconstruct(net, images, count, sharding.make_mesh())
    pairs = np.stack([found.given, found.made], axis=1).reshape(-1, *found.given.shape[1:])
    pairs = pairs / np.float32(255.0)
    grids.save_png(path, grids.image_grid(grids.magnify(pairs), columns=16))


def keeps_tokens(tokenizer: PretrainedNet) -> bool:
    """Returns whether half precision changes nothing that a tokenizer's tokens depend on."""
    decoder = tokenizer.net.decoder_parts
    decides = {name: part for name, part in tokenizer.params.items() if name not in decoder}
    rounded = jax.tree.map(lambda x: np.array_equal(x, np.float32(np.float16(x))), decides)
    return all(jax.tree.leaves(rounded))


def ship(name: str, workdir: str, data_record: dict, output: pathlib.Path) -> None:
    """Writes one net, its curves, and the newest samples if the run drew any."""
    exported = load_net(f"{workdir}/net", *NETS)
    curves = read_curves(workdir)
    figures = {key: values[-1] for key, (_, values) in curves.items()}
    about = {**exported.about, "data_record": data_record, "figures": figures}
    if "tokens_of" in about and not keeps_tokens(exported):
        del about["tokens_of"]
    digest = save_net(str(output / name), exported.net, exported.params, about, jnp.float16)
    draw_curves(curves, output / f"{name}_curves.png")
    samples = max(pathlib.Path(workdir, "pictures").glob("samples_*.png"), default=None)
    if samples:
        with written_whole(output / f"{name}_samples.png") as partial:
            shutil.copyfile(samples, partial)
    say(f"Wrote {output / name} (digest {digest[:12]}) and its curves.")


def read_record(data: pathlib.Path) -> dict[str, Any]:
    """Reads the record of packed data: how and from what they were made."""
    try:
        return dict(json.loads(str(open_npz(data)["record"].read())))
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = "no record" if isinstance(error, KeyError) else str(error)
        raise UserError(
            f"{data} is not packed data, or is damaged ({reason}); pack it again."
        ) from error


def define_flags() -> None:
    """Defines the flags; not at import, so that programs can share a process."""
    flags.DEFINE_enum("family", "demo", list(FAMILIES), "Family of nets to ship.")
    flags.DEFINE_multi_string(
        "net", None, "Net to ship (may be repeated); by default all of the family."
    )
    flags.DEFINE_string("runs", "runs", "Folder of the runs, each with the name of its config.")
    flags.DEFINE_string("data", None, "The packed data, for its record; by default the family's.")
    flags.DEFINE_string("output", None, "Folder to write to; by default vpt_gen/assets/<family>.")


def main():
    """Runs the program; its flags are parsed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("Curves need matplotlib; install it with `pip install -e .[demo]`.")
    family = FAMILIES[FLAGS.family]
    output = pathlib.Path(FLAGS.output or f"vpt_gen/assets/{FLAGS.family}")
    check_writable(output / "net.json", "--output")
    data, nets = FLAGS.data or family.data, FLAGS.net or list(family.runs)
    if unknown := [name for name in nets if name not in family.runs]:
        raise UserError(
            f"The family {FLAGS.family!r} has no {unknown[0]}; --net must be one of "
            f"{', '.join(family.runs)}."
        )
    if not pathlib.Path(data).is_file():
        raise UserError(f"{data} does not exist; give the packed data with --data.")
    data_record = read_record(pathlib.Path(data))
    with lock.held(output, "--output"):
        for name in nets:
            ship(name, f"{FLAGS.runs}/{family.runs[name]}", data_record, output)
        if "tokenizer" in nets:
            tokenizer = load_net(str(output / "tokenizer"), *NETS)
            draw_reconstructions(tokenizer, output / "tokenizer_reconstructions.png")


if __name__ == "__main__":
    cli.run(main, define_flags)
