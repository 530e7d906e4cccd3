"""Parameters of small nets from NumPy: `init` would be a program for each net."""

import jax
import numpy as np


def random_params(net, num_tokens, scale=0.4):
    """Parameters of a transformer that predicts differently for each condition and token.

    Args:
      net: the transformer.
      num_tokens: N, which its positions have to hold.
      scale: deviation of all numbers, around 1 for scales of norms and 0 elsewhere.
    """
    tokens = np.zeros((1, num_tokens), np.int32)
    shapes = jax.eval_shape(net.init, jax.random.key(0), tokens, class_ids=tokens[:, 0])["params"]
    generator = np.random.default_rng(0)

    def draw(path, shape):
        around = float(path[-1].key == "scale")
        return generator.normal(around, scale, shape.shape).astype(np.float32)

    return jax.device_put(jax.tree_util.tree_map_with_path(draw, shapes))


def random_gan(init, *example):
    """Variables of BigGAN's nets, or what holds them, as large as new ones; biases are 0.

    Their `init` is a program of a hundred random arrays, which takes ten seconds to compile.

    Args:
      init: a net's, or a task's without an optimizer state, of a key.
      example: its other arguments.
    """
    generator = np.random.default_rng(0)

    def draw(path, shape):
        name = getattr(path[-1], "key", "")
        if name in ("kernel", "embedding", "u"):
            deviation = np.prod(shape.shape[:-1]) ** -0.5
            return generator.normal(0.0, deviation, shape.shape).astype(shape.dtype)
        return np.full(shape.shape, name in ("gain", "var", "sigma"), shape.dtype)

    shapes = jax.eval_shape(init, jax.random.key(0), *example)
    return jax.tree_util.tree_map_with_path(draw, shapes)
