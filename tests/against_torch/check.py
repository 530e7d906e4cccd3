"""Are the outputs of a twin in PyTorch those of ours? The same weights, inputs and noise go in."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import torch

from tests.against_torch import models
from vpt_gen.benchmark import programs
from vpt_gen.nets.transformer import MASK_TOKEN_ID

# Largest difference, as a share of the largest value.
TOLERANCES = {"float32": 1e-4, "bfloat16": 5e-2}
# Of the tokens, in float32: sums in another order may make another code the nearest, or the
# likeliest. In bfloat16 whole sequences differ after the first such token.
EQUAL_TOKENS = 0.99


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Of numbers before tokens are chosen: the largest difference; and the equal tokens.

    Attributes:
      difference: a share of the largest value.
      tokens: share that is equal; of images, share of equal 8-bit values.
      dtype: of both.
    """

    difference: float
    tokens: float
    dtype: str

    @property
    def holds(self):
        exact = self.dtype != "float32" or self.tokens >= EQUAL_TOKENS
        return exact and self.difference <= TOLERANCES[self.dtype]


def agreement(request, size):
    """Returns the `Agreement` of a request of PyTorch with ours."""
    with torch.no_grad():
        of_what = _of_decoding if request.what == "decode" else _of_tokenizer
        return Agreement(*of_what(request, size), request.dtype)


def _ours(request, size):
    return programs.build(size, dataclasses.replace(request, way="ours"))


def _of_tokenizer(request, size):
    program, model = _ours(request, size), models.make(request, size)
    params, given = program.arguments
    theirs_given, net = _tensor(given), size.tokenizer
    if request.what == "tokenize":
        before = net.apply({"params": params}, given, method="encode")
        theirs_before = model.encoder(theirs_given.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        ours, theirs = program.function(*program.arguments), model(theirs_given)
    else:
        theirs_given = theirs_given.view(-1, *net.token_shape(size.image_size))
        before = net.apply({"params": params}, net.arranged(given), method="detokenize")
        theirs_before = model.detokenize(theirs_given)
        ours = jnp.round(255 * program.function(*program.arguments))
        theirs = torch.round(255 * model(theirs_given))
    return _difference(before, theirs_before), _share(ours, theirs)


def _of_decoding(request, size):
    program, model = _ours(request, size), models.make(request, size)
    forward = _ours(dataclasses.replace(request, what="forward"), size)
    params, tokens, prompts = forward.arguments
    logits = jax.jit(forward.function)(params, tokens, prompts)
    theirs, shown = _tensor(tokens), _tensor(prompts)
    if size.transformer.family == "ar":
        theirs_logits = model.logits(theirs, shown)
    else:
        ids = torch.nn.functional.pad(theirs, (1, 0), value=MASK_TOKEN_ID)
        theirs_logits = model.logits(ids, shown)[:, 1:]
    _, keys, prompts = program.arguments
    drawn = jax.jit(program.function)(*program.arguments)[0]
    prompts = _tensor(prompts)[0].expand(len(keys), -1, -1)
    theirs_drawn = models.decode(model, request, size, prompts, _noise(keys, size))
    return _difference(logits, theirs_logits), _share(drawn, theirs_drawn)


def _noise(keys, size):
    """Returns the noise of our decoders, as `models.decode` takes it."""
    n, k = size.num_tokens, size.transformer.codebook_size

    def gumbel(keys, shape):
        return _tensor(jax.vmap(lambda key: jax.random.gumbel(key, shape))(keys))

    def of_token(position):
        return gumbel(jax.vmap(jax.random.fold_in, (0, None))(keys, position), (k,))

    def of_iteration(_):
        nonlocal keys
        pairs = jax.vmap(jax.random.split)(keys)
        others = jax.vmap(jax.random.split)(pairs[:, 0])
        keys = others[:, 0]
        return gumbel(pairs[:, 1], (n + 1, k)), gumbel(others[:, 1], (n + 1,))

    return of_token if size.transformer.family == "ar" else of_iteration


def _tensor(array):
    return torch.from_numpy(np.array(array))


def _difference(ours, theirs):
    ours, theirs = np.asarray(ours, np.float64), theirs.double().numpy()
    return float(np.abs(ours - theirs).max() / np.abs(ours).max())


def _share(ours, theirs):
    return float(np.mean(np.asarray(ours) == theirs.numpy()))
