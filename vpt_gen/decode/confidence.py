"""Decoder that keeps the tokens of which the net is most confident, as released with MaskGIT.

The algorithm is in `decode/parallel.py`. Here every image of a batch has its own key, and the first
iteration, in which no token is known, is computed once for each condition.
"""

import dataclasses
from typing import Annotated, cast

import jax
import jax.numpy as jnp

from vpt_gen.decode import parallel
from vpt_gen.decode.decoder import Given
from vpt_gen.decode.iterative import Guided, GuidedDecoder
from vpt_gen.nets.transformer import MaskedTransformer
from vpt_gen.ranges import Range


@dataclasses.dataclass(frozen=True)
class Confidence(GuidedDecoder):
    """`config.decode.decoder = "confidence"`."""

    # Scale of the noise on the confidence.
    choice_temperature: Annotated[float, Range(0, 1000)] = 4.5

    name = "confidence"
    iteration = "predicts all open tokens at once and fixes the most confident ones"

    def decode(self, given: Given) -> tuple[jax.Array, jax.Array]:
        net, count = cast(MaskedTransformer, given.net), given.num_conditions
        logits_of = Guided(net, given.params, self.temperature, without=given.without)
        ids = net.unknown_ids(count, given.num_tokens, given.class_ids)
        constant, changing = given.stages()
        first_scale, scales = self.scales(self.num_iterations)
        first, rows = None, given.rows
        if rows is None:
            rows = jnp.arange(count)
        elif given.known is None:  # Otherwise images differ from the start.
            first = logits_of(ids, given.first(), first_scale)

        def one(key, row, tokens):
            def logits_fn(ids, stage):
                changing_t, scale = stage
                own = jax.tree.map(lambda x: x[row][None], constant | changing_t)
                return logits_of(ids, own, first_scale if scale is None else scale)

            tokens, revealed_at = parallel.decode(
                key,
                ids[row].at[-given.num_tokens :].set(tokens)[None],
                logits_fn,
                (changing, scales),
                None if first is None else first[row][None],
                num_iterations=self.num_iterations,
                choice_temperature=self.choice_temperature,
                schedule=self.schedule,
            )
            return tokens[0, -given.num_tokens :], revealed_at[0, -given.num_tokens :]

        return jax.vmap(one)(given.keys, rows, given.tokens())
