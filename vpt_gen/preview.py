"""`python -m vpt_gen.preview --transformer=weights/...`: what a frozen model generates by itself.

Draws images of the classes that the transformer was pretrained on, without any prompts: a first
look at converted weights. Without flags, the shipped color source.
"""

import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from etils import epath
from ml_collections import ConfigDict

from vpt_gen import cli
from vpt_gen.checkpoints.backbone import (
    TOKENIZERS,
    PretrainedNet,
    load_net,
)
from vpt_gen.checkpoints.shipped import COLOR
from vpt_gen.config.check import check_config
from vpt_gen.config.fields import default_config
from vpt_gen.decode.generate import generate, tokens_to_images
from vpt_gen.errors import UserError
from vpt_gen.images import grids
from vpt_gen.machine.progress import say, track
from vpt_gen.nets import transformers
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.runs.compatibility import check_codebooks
from vpt_gen.runs.opened import set_option
from vpt_gen.runs.saved import save_images
from vpt_gen.runs.transformers import decode_options

FLAGS = flags.FLAGS

_FEW = 8  # classes, where none are named


def own_num_tokens(net: TokenTransformer) -> int:
    """N, the visual tokens of an image that a transformer was trained on.

    Raises:
      UserError: they make no square image.
    """
    _, count = net.token_counts
    try:
        net.grid(count)
    except ValueError as error:
        raise UserError(f"The transformer takes no square images: {error}") from error
    return count


def choose_classes(wanted: Sequence[str], net: TokenTransformer, names: Sequence[str]) -> list[int]:
    """Names or numbers of classes -> numbers; the first few where none are named.

    If neither a record nor the net tells how many classes it knows, any code may be one.
    """
    of_net = net.codebook_size if net.known_classes is None else net.known_classes
    known = len(names) or of_net
    numbers = []
    if wanted == ["all"] and "all" not in names:
        wanted = [str(number) for number in range(known)]
    for name in wanted:
        if name in names:
            numbers.append(names.index(name))
        elif name.isdecimal() and int(name) < known:
            numbers.append(int(name))
        else:
            raise UserError(f"--classes={name}: the transformer has classes 0 to {known - 1}.")
    if not known:
        raise UserError("The transformer knows no classes, so it needs prompts.")
    return numbers or list(range(min(_FEW, known)))


def draw(
    tokenizer: PretrainedNet,
    transformer: PretrainedNet,
    class_ids: np.ndarray,
    seed: int,
    decode: ConfigDict,
) -> np.ndarray:
    """Images (n, H, W, 3) of classes (n,); the k-th of a class is the same whatever the others.

    Args:
      tokenizer: turns tokens to images.
      transformer: whose classes they are.
      class_ids: sorted.
      seed: of all keys.
      decode: a config's `decode`.
    """
    num_tokens = own_num_tokens(transformer.net)
    options = decode_options(ConfigDict({"decode": decode}))

    def some(transformer_params, tokenizer_params, keys, class_ids):
        tokens, _ = generate(
            transformer.net, transformer_params, keys, num_tokens, class_ids=class_ids, **options
        )
        return tokens_to_images(tokenizer.net, tokenizer_params, tokens)

    numbers = np.arange(len(class_ids)) - np.searchsorted(class_ids, class_ids)
    key = jax.random.key(seed)
    keys = jax.vmap(lambda c, k: jax.random.fold_in(jax.random.fold_in(key, c), k))(
        jnp.asarray(class_ids), jnp.asarray(numbers)
    )
    params = jax.device_put((transformer.params, tokenizer.params))
    some = jax.jit(some)
    parts = []
    with track(total=len(class_ids), label="drawing") as bar:
        for start in range(0, len(class_ids), decode.batch_size):
            # The last batch is filled up, so that one compilation serves all.
            rows = np.arange(start, start + decode.batch_size) % len(class_ids)
            count = min(decode.batch_size, len(class_ids) - start)
            parts.append(np.asarray(some(*params, keys[rows], class_ids[rows]))[:count])
            bar.update(count)
    return np.concatenate(parts)


def define_flags() -> None:
    """The command line; not at import, so that programs can share a process."""
    flags.DEFINE_string("tokenizer", f"{COLOR}/tokenizer", "A net that vpt_gen.convert wrote.")
    flags.DEFINE_string("transformer", f"{COLOR}/transformer", "A net that vpt_gen.convert wrote.")
    flags.DEFINE_list(
        "classes", [], f"Names or numbers of classes, or all; by default the first {_FEW}."
    )
    flags.DEFINE_integer("num", 4, "Images a class.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Same seed, same images.", lower_bound=0)
    flags.DEFINE_multi_string(
        "set", [], "A decoding option, such as num_iterations=8 or top_k=100 (may be repeated)."
    )
    flags.DEFINE_string("output", "preview.png", "The picture to write, one row a class.")
    flags.DEFINE_string(
        "folder", None, "Also write every image into this folder, for vpt_gen.evaluate --images."
    )


def main():
    """Runs the program; its flags are parsed."""
    tokenizer = load_net(FLAGS.tokenizer, *TOKENIZERS)
    transformer = load_net(FLAGS.transformer, *transformers())
    check_codebooks(tokenizer.net, transformer.net)
    config = default_config("prompts", transformer.net.family)
    config.decode.batch_size = 8
    for setting in FLAGS.set:
        set_option(config.decode, setting)
    check_config(config)
    names = list(transformer.about.get("class_names", ()))
    classes = choose_classes(FLAGS.classes, transformer.net, names)
    class_ids = np.repeat(sorted(set(classes)), FLAGS.num)
    images = draw(tokenizer, transformer, class_ids, FLAGS.seed, config.decode)
    labels = names or [str(c) for c in range(class_ids.max() + 1)]
    grids.save_png(
        pathlib.Path(FLAGS.output), grids.class_grid(images, class_ids, labels, columns=FLAGS.num)
    )
    say(f"Wrote {FLAGS.output}.")
    if FLAGS.folder:
        record = {"transformer": transformer.digest, "tokenizer": tokenizer.digest}
        record |= {"seed": FLAGS.seed, "decode": config.decode.to_dict()}
        save_images(images, class_ids, labels, epath.Path(FLAGS.folder), record)
        say(f"Wrote {len(images)} images to {FLAGS.folder}.")


if __name__ == "__main__":
    cli.run(main, define_flags)
