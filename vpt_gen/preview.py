"""`python -m vpt_gen.preview --backbone=maskgit256`: draws images of a frozen model.

The images are of the classes that the transformer was pretrained on, without prompts: a first check
of published weights. The default is the shipped photos source.

With --distributed, several processes draw the images of --folder together. Without --folder there
is one picture, which is small: the first process draws it, and the others wait.
"""

import contextlib
import functools

import numpy as np
from absl import flags
from etils import epath
from ml_collections import ConfigDict

from vpt_gen import cli
from vpt_gen.checkpoints.released.published import BACKBONES
from vpt_gen.checkpoints.shipped import PHOTOS
from vpt_gen.images import grids, png
from vpt_gen.machine import distributed, later, lock, network
from vpt_gen.machine.files import check_output
from vpt_gen.machine.number_flags import define_number
from vpt_gen.machine.progress import say
from vpt_gen.ranges import Count, Seed
from vpt_gen.runs.pretrained_samples import FEW, choose_classes, stream

with later.imports(globals()):
    from vpt_gen.checkpoints import arrival
    from vpt_gen.checkpoints.backbone import TOKENIZERS, load_net
    from vpt_gen.config.check import check_config
    from vpt_gen.config.fields import default_config
    from vpt_gen.nets import transformers
    from vpt_gen.recipes.adaptation import suit
    from vpt_gen.runs.compatibility import check_codebooks
    from vpt_gen.runs.opened import set_option
    from vpt_gen.runs.saved import save_images

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags; not at import, so that programs can share a process."""
    flags.DEFINE_enum("backbone", None, list(BACKBONES), "Published tokenizer and transformer.")
    flags.DEFINE_string("tokenizer", "", "Folder of a net, or name of a published one.")
    flags.DEFINE_string("transformer", "", "Folder of a net, or name of a published one.")
    network.define_flags()
    flags.DEFINE_list(
        "classes", [], f"Names or numbers of classes, or all; by default the first {FEW}."
    )
    define_number("num", 4, Count, "Images per class.")
    define_number("seed", 0, Seed, "Seed of the images.")
    flags.DEFINE_multi_string(
        "set", [], "A decoding option, such as num_iterations=8 or top_k=100 (may be repeated)."
    )
    flags.DEFINE_string("output", "preview.png", "The picture to write, one row per class.")
    flags.DEFINE_string(
        "folder",
        None,
        "Also write every image to this folder, for vpt_gen.evaluate --images. The picture then "
        "shows up to 10 images of up to 100 classes.",
    )
    distributed.define_flags()


def main():
    """Runs the program; its flags are parsed."""
    distributed.start(apart=True)
    folder = FLAGS.folder
    with lock.held_for_all(folder, "--folder") if folder else contextlib.nullcontext():
        preview()


def preview() -> None:
    """Draws the images and writes them; no other program writes to their folder."""
    output = epath.Path(FLAGS.output)
    check_output(output, "--output", png.SIGNATURE)
    nets = {"tokenizer": FLAGS.tokenizer, "transformer": FLAGS.transformer}
    if not FLAGS.backbone:
        nets = {part: net or f"{PHOTOS}/{part}" for part, net in nets.items()}
    paths = arrival.directories({"name": FLAGS.backbone or "", **nets})
    tokenizer = load_net(paths["tokenizer"], *TOKENIZERS)
    transformer = load_net(paths["transformer"], *transformers())
    check_codebooks(tokenizer.net, transformer.net)
    decode = _decoding(transformer.net.family)
    names = list(transformer.about.get("class_names", ()))
    classes = choose_classes(FLAGS.classes, transformer.net, names)
    class_ids = np.repeat(sorted(set(classes)), FLAGS.num)
    labels = names or [str(c) for c in range(class_ids.max() + 1)]
    draw = functools.partial(stream, tokenizer, transformer, class_ids, FLAGS.seed, decode)
    folder = epath.Path(FLAGS.folder) if FLAGS.folder else None
    if folder:
        record = {"transformer": transformer.digest, "tokenizer": tokenizer.digest}
        record |= {"seed": FLAGS.seed, "decode": decode.to_dict()}
        show = functools.partial(grids.save_png, output)
        save_images(draw, decode.batch_size, class_ids, labels, folder, record, "--folder", show)
        say(f"Wrote {len(class_ids)} images to {FLAGS.folder}, and {output}.")
        return

    def write() -> None:
        images = np.concatenate(list(draw(np.ones(len(class_ids), bool))))
        grids.save_png(output, grids.class_grid(images, class_ids, labels, columns=FLAGS.num))
        say(f"Wrote {output}.")

    distributed.first_does(write)


def _decoding(family: str) -> ConfigDict:
    """Returns the decoding options of the command line, for a family of transformers."""
    config = default_config("prompts", family)
    if FLAGS.backbone:
        suit(config, FLAGS.backbone)
    config.decode.batch_size = 8
    for setting in FLAGS.set:
        set_option(config.decode, setting)
    check_config(config)
    return config.decode


if __name__ == "__main__":
    cli.run(main, define_flags)
