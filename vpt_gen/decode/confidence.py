"""Decoder that keeps the tokens of which the net is most confident, as released with MaskGIT.

The algorithm is in `decode/parallel.py`. Here every image of a batch has its own key, and the first
iteration, in which no token is known, is computed once for each condition.
"""

import dataclasses
from collections.abc import Iterable
from typing import cast

import jax
import jax.numpy as jnp

from vpt_gen.decode import parallel
from vpt_gen.decode.decoder import (
    Decoder,
    Given,
    Guided,
    guidance_requirements,
    guidance_scales,
)
from vpt_gen.decode.schedules import schedule_requirement
from vpt_gen.errors import Requirement
from vpt_gen.nets.transformer import MaskedTransformer


@dataclasses.dataclass(frozen=True)
class Confidence(Decoder):
    """`config.decode.decoder = "confidence"`."""

    num_iterations: int = 12
    # Mask schedule, see decode/schedules.py.
    schedule: str = "cosine"
    # Scale of the noise on the confidence.
    choice_temperature: float = 4.5
    # Divides the logits; below 1 for likelier tokens and less variety.
    temperature: float = 1.0
    # Scale of classifier-free guidance, which doubles the work; 0 for none.
    guidance: float = 0.0
    # Share of the iterations that come before guidance sets in.
    guidance_start: float = 0.0

    name = "confidence"
    family = "nar"
    iteration = "predicts all open tokens at once and fixes the most confident ones"

    def requirements(self) -> Iterable[Requirement]:
        yield "num_iterations", self.num_iterations > 0, "positive"
        yield schedule_requirement(self.schedule)
        yield "temperature", self.temperature > 0, "positive"
        yield from guidance_requirements(self.guidance, self.guidance_start)

    def num_stages(self, net, num_tokens: int) -> int:
        return self.num_iterations

    def decode(self, given: Given) -> tuple[jax.Array, jax.Array]:
        net, count = cast(MaskedTransformer, given.net), given.num_conditions
        logits_of = Guided(net, given.params, self.temperature)
        ids = net.unknown_ids(count, given.num_tokens, given.class_ids)
        constant, changing = given.stages()
        scales = guidance_scales(self.guidance, self.guidance_start, self.num_iterations)
        changing_scale = None if len(set(scales)) == 1 else jnp.array(scales)
        first, rows = None, given.rows
        if rows is None:
            rows = jnp.arange(count)
        else:
            prompts = None if given.prompts is None else given.prompts[0]
            first = logits_of(ids, prompts, given.class_ids, scales[0])

        def one(key, row):
            def logits_fn(ids, stage):
                prompts_t, scale = stage
                prompts_t = constant if prompts_t is None else prompts_t
                own = None if prompts_t is None else prompts_t[row][None]
                of_class = None if given.class_ids is None else given.class_ids[row][None]
                return logits_of(ids, own, of_class, scales[0] if scale is None else scale)

            tokens, revealed_at = parallel.decode(
                key,
                ids[row][None],
                logits_fn,
                (changing, changing_scale),
                None if first is None else first[row][None],
                num_iterations=self.num_iterations,
                choice_temperature=self.choice_temperature,
                schedule=self.schedule,
            )
            return tokens[0, -given.num_tokens :], revealed_at[0, -given.num_tokens :]

        return jax.vmap(one)(given.keys, rows)
