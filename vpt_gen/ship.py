"""`python -m vpt_gen.ship`: pretraining runs -> the small files a package ships.

Stores the nets that `main` exported at half precision, and draws their training curves from the
runs' TensorBoard events, so that what is shipped shows how it was made.
"""

import json
import pathlib
import shutil
import sys

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from ml_collections import ConfigDict

from vpt_gen.checkpoints.backbone import PretrainedNet, load_net, save_net
from vpt_gen.data import pipeline
from vpt_gen.data.batches import image_spec, open_sources
from vpt_gen.errors import report_user_errors
from vpt_gen.evaluation import grids
from vpt_gen.evaluation.curves import Curves, read_curves
from vpt_gen.progress import say

FLAGS = flags.FLAGS

# What ships, and the kind of net that it is.
KINDS = {
    "tokenizer": "vqgan",
    "transformer": "maskgit",
    "transformer_ar": "gpt",
    "gan": "biggan",
}


def draw_curves(curves: Curves, path: pathlib.Path) -> None:
    """One panel a curve, into one PNG."""
    from matplotlib.figure import Figure

    columns = 3
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(4 * columns, 2.4 * rows), layout="constrained")
    for panel, (name, (steps, values)) in enumerate(sorted(curves.items()), 1):
        axes = figure.add_subplot(rows, columns, panel)
        axes.plot(steps, values, linewidth=0.8)
        axes.set_title(f"{name}: {values[-1]:.4g}", fontsize=9)
        axes.tick_params(labelsize=7)
    figure.savefig(path, dpi=80)


def draw_reconstructions(net: PretrainedNet, path: pathlib.Path, count: int = 32) -> None:
    """Held-out images, evenly drawn over the classes, each beside its reconstruction."""
    config = ConfigDict(net.about["config"])
    _, held_out = open_sources(config)
    drawn = held_out.subset(np.linspace(0, len(held_out) - 1, count).astype(int))
    batch = next(pipeline.eval_batches(drawn, image_spec(config.data), batch_size=count))
    images = batch["image"]
    reconstructed = jax.jit(net.net.apply)({"params": net.params}, images)[0]
    pairs = np.stack([images, reconstructed], axis=1).reshape(-1, *images.shape[1:])
    grids.save_png(path, grids.image_grid(grids.magnify(pairs), columns=16))


def ship(name: str, kind: str, workdir: str, data_record: dict, output: pathlib.Path) -> None:
    """Writes one net, its curves, and the newest samples where the run drew any."""
    exported = load_net(f"{workdir}/net", kind)
    curves = read_curves(workdir)
    figures = {key: values[-1] for key, (_, values) in curves.items()}
    about = {**exported.about, "data_record": data_record, "figures": figures}
    digest = save_net(str(output / name), exported.net, exported.params, about, jnp.float16)
    draw_curves(curves, output / f"{name}_curves.png")
    samples = max(pathlib.Path(workdir, "pictures").glob("samples_*.png"), default=None)
    if samples:
        shutil.copy(samples, output / f"{name}_samples.png")
    say(f"Wrote {output / name} (digest {digest[:12]}) and its curves.")


def define_flags() -> None:
    """The command line; not at import, so that programs can share a process."""
    flags.DEFINE_multi_enum("net", list(KINDS), list(KINDS), "What to ship (may be repeated).")
    flags.DEFINE_string("runs", "runs", "Folder of the runs, source_<net>.")
    flags.DEFINE_string("data", "downloads/source_grey.npz", "The packed data, for its record.")
    flags.DEFINE_string("output", "vpt_gen/assets/demo", "Folder to write to.")


def main(argv):
    """Entry point; flags are checked by absl."""
    del argv
    output = pathlib.Path(FLAGS.output)
    with np.load(FLAGS.data) as arrays:
        data_record = json.loads(str(arrays["record"]))
    for name in FLAGS.net:
        ship(name, KINDS[name], f"{FLAGS.runs}/source_{name}", data_record, output)
    if "tokenizer" in FLAGS.net:
        tokenizer = load_net(str(output / "tokenizer"), "vqgan")
        draw_reconstructions(tokenizer, output / "tokenizer_reconstructions.png")


if __name__ == "__main__":
    define_flags()
    sys.exit(report_user_errors(lambda: app.run(main)))
