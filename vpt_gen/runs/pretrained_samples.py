"""Draws images of a pretrained transformer's own classes, without prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from ml_collections import ConfigDict

from vpt_gen.data.names import name_key, nearest, numbers_of
from vpt_gen.errors import UserError
from vpt_gen.machine import later
from vpt_gen.machine.progress import track

with later.imports(globals()):
    import jax
    import jax.numpy as jnp

    from vpt_gen.checkpoints.backbone import PretrainedNet
    from vpt_gen.decode.generate import generate, tokens_to_images
    from vpt_gen.nets.transformer import TokenTransformer
    from vpt_gen.runs.transformers import decode_options

FEW = 8  # classes, if none are given


def own_num_tokens(net: TokenTransformer) -> int:
    """Returns N, the visual tokens per image of a transformer's training.

    Raises:
      UserError: they form no square image.
    """
    _, count = net.token_counts
    try:
        net.shown_grid(count)
    except ValueError as error:
        raise UserError(f"The transformer takes no square images: {error}") from error
    return count


def choose_classes(wanted: Sequence[str], net: TokenTransformer, names: Sequence[str]) -> list[int]:
    """Names or numbers of classes -> numbers; the first few if none are given.

    If neither a record nor the net tells the number of classes, any code is accepted.
    """
    of_net = net.codebook_size if net.known_classes is None else net.known_classes
    known = len(names) or of_net
    numbers, number_of = [], numbers_of(names)
    if wanted == ["all"] and "all" not in names:
        wanted = [str(number) for number in range(known)]
    for name in wanted:
        if name_key(name) in number_of:
            numbers.append(number_of[name_key(name)])
        elif name.isdecimal() and int(name) < known:
            numbers.append(int(name))
        else:
            raise UserError(
                f"--classes={name}: the transformer has classes 0 to {known - 1}"
                f"{nearest(name, names)}"
            )
    if not known:
        raise UserError("The transformer has no classes, so it needs prompts.")
    return numbers or list(range(min(FEW, known)))


def stream(
    tokenizer: PretrainedNet,
    transformer: PretrainedNet,
    class_ids: np.ndarray,
    seed: int,
    decode: ConfigDict,
    wanted: np.ndarray,
) -> Iterator[np.ndarray]:
    """Draws images of classes (n,); the k-th of a class does not depend on the others.

    Args:
      tokenizer: decodes tokens to images.
      transformer: with its own classes.
      class_ids: sorted.
      seed: of all keys.
      decode: a config's `decode`.
      wanted: (n,) bool, the images to draw, in batches of all.

    Yields:
      The wanted images of a batch (b, H, W, 3) in [0, 1].
    """
    num_tokens = own_num_tokens(transformer.net)
    options = decode_options(ConfigDict({"decode": decode}))

    def some(transformer_params, tokenizer_params, keys, class_ids):
        tokens, _ = generate(
            transformer.net,
            transformer_params,
            keys,
            num_tokens,
            class_ids=class_ids,
            source=transformer_params,
            **options,
        )
        return tokens_to_images(tokenizer.net, tokenizer_params, tokens)

    numbers = np.arange(len(class_ids)) - np.searchsorted(class_ids, class_ids)
    key = jax.random.key(seed)
    keys = jax.vmap(lambda c, k: jax.random.fold_in(jax.random.fold_in(key, c), k))(
        jnp.asarray(class_ids), jnp.asarray(numbers)
    )
    params = jax.device_put((transformer.params, tokenizer.params))
    some = jax.jit(some)
    with track(total=int(wanted.sum()), label="drawing") as bar:
        for start in range(0, len(class_ids), decode.batch_size):
            new = np.flatnonzero(wanted[start : start + decode.batch_size])
            if not len(new):
                continue
            # The last batch is padded, so that one compilation is enough.
            rows = np.arange(start, start + decode.batch_size) % len(class_ids)
            yield np.asarray(some(*params, keys[rows], class_ids[rows]))[new]
            bar.update(len(new))
