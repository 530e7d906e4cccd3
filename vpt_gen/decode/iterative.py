"""What decoders of masked transformers share: iterations, a temperature and guidance."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Annotated, Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from vpt_gen.decode.decoder import Conditions, Decoder, Given
from vpt_gen.decode.schedules import guidance_requirement, guidance_shares, schedule_requirement
from vpt_gen.errors import Requirement
from vpt_gen.nets.transformer import MASK_TOKEN_ID, MaskedTransformer, TokenTransformer
from vpt_gen.ranges import Count, Range, ShareBelowOne

Temperature = Annotated[float, Range(0.01, 100)]
Guidance = Annotated[float, Range(0, 100)]


@dataclasses.dataclass(frozen=True)
class Iterations(Decoder):
    """A decoder of masked transformers with T iterations."""

    num_iterations: Count = 12

    family = "nar"

    def num_stages(self, net: TokenTransformer, num_tokens: int) -> int:
        """Returns T: a marquee has one stage per iteration."""
        return self.num_iterations


@dataclasses.dataclass(frozen=True)
class IterativeDecoder(Iterations):
    """Fixes some tokens in each of T iterations; subclasses add options of their own."""

    # Mask schedule, see decode/schedules.py.
    schedule: str = "cosine"
    # Divides the logits; below 1 for likelier tokens and less variety.
    temperature: Temperature = 1.0

    def requirements(self) -> Iterable[Requirement]:
        yield schedule_requirement(self.schedule)


@dataclasses.dataclass(frozen=True)
class WithGuidance(Decoder):
    """A decoder of masked transformers with classifier-free guidance, see `Guided`."""

    # Scale of classifier-free guidance, which doubles the work; 0 for none.
    guidance: Guidance = 0.0
    # Share of the iterations that come before guidance sets in.
    guidance_start: ShareBelowOne = 0.0
    # How the scale rises over the iterations, see decode/schedules.py.
    guidance_schedule: str = "constant"
    # Whether it leads away from what the source predicts, not the adapted net, see `Guided`.
    domain_guidance: bool = False

    def requirements(self) -> Iterable[Requirement]:
        yield from super().requirements()
        yield guidance_requirement(self.guidance_schedule)

    def scales(self, num_iterations: int) -> tuple[float, jax.Array | None]:
        """Returns the scale of the first iteration, and of all (T,), or None if they are equal."""
        shares = guidance_shares(num_iterations, self.guidance_schedule, self.guidance_start)
        scales = [self.guidance * share for share in shares]
        return scales[0], None if len(set(scales)) == 1 else jnp.array(scales)


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Logits of a batch's visual tokens in each iteration.

    Attributes:
      logits_fn: (tokens (B, N), stage) -> logits (B, N, K).
      stages: tree of arrays with a leading axis T, of which `logits_fn` is given one slice.
      first: logits (B, N, K) of the first iteration, computed once for each condition; None if
        images differ from the start.
    """

    logits_fn: Callable[[jax.Array, Any], jax.Array]
    stages: Any
    first: jax.Array | None


@dataclasses.dataclass(frozen=True)
class GuidedIterations(WithGuidance, Iterations):
    """A decoder of T iterations with guidance."""

    def predicted(
        self, given: Given, temperature: float = 1.0, divisors: np.ndarray | None = None
    ) -> Predictions:
        """Returns what the net predicts for a batch, with guidance.

        Args:
          given: what to decode.
          temperature: divides the logits.
          divisors: (T,), divide those of each iteration besides; or None.
        """
        net, n = cast(MaskedTransformer, given.net), given.num_tokens
        guided = Guided(net, given.params, temperature, without=given.without)
        constant, changing = given.stages()
        first_scale, scales = self.scales(self.num_iterations)

        def visual_logits(tokens, conditions, scale, divisor):
            ids = net.ids(tokens, conditions.get("class_ids"))
            logits = guided(ids, conditions, scale)[:, -n:]
            return logits if divisor is None else logits / divisor

        def logits_fn(tokens, stage):
            changing_t, scale, divisor = stage
            own = given.of_images(constant | changing_t)
            return visual_logits(tokens, own, first_scale if scale is None else scale, divisor)

        first = None
        if given.known is None:  # Otherwise images differ from the start.
            nothing = jnp.full((given.num_conditions, n), MASK_TOKEN_ID, jnp.int32)
            divisor = None if divisors is None else divisors[0]
            first = given.of_images(visual_logits(nothing, given.first(), first_scale, divisor))
        stages = changing, scales, None if divisors is None else jnp.asarray(divisors)
        return Predictions(logits_fn, stages, first)


@dataclasses.dataclass(frozen=True)
class GuidedDecoder(GuidedIterations, IterativeDecoder):
    """An iterative decoder with guidance."""

    def predictions(self, given: Given) -> Predictions:
        """Returns what the net predicts for a batch, with guidance and the temperature."""
        return self.predicted(given, self.temperature)


@dataclasses.dataclass(frozen=True)
class Guided:
    """Logits of a masked transformer with guidance and a temperature.

    Classifier-free guidance (arXiv 2207.12598): adds to the conditional logits `scale` times their
    difference from the unconditional ones. If these come from the source, guidance leads away from
    it (Domain Guidance, arXiv 2504.01521). With prompts they always do, as the net stays as it was.

    Attributes:
      net: the transformer.
      params: its parameters.
      temperature: divides the result.
      method: of the net, which gives the logits.
      without: parameters for the unconditional logits; None: `params`.
    """

    net: MaskedTransformer
    params: Any
    temperature: float = 1.0
    method: str = "visual_logits"
    without: Any = None

    def __call__(
        self, ids: jax.Array, conditions: Conditions, scale: jax.Array | float
    ) -> jax.Array:
        """(ids (B, L), conditions (B, ...), scale) -> logits (B, L, K)."""

        def logits(params, ids, **conditions):
            return self.net.apply({"params": params}, ids, **conditions, method=self.method)

        conditional = logits(self.params, ids, **conditions)

        def beyond():
            params = self.params if self.without is None else self.without
            without = logits(params, self.net.unconditional_ids(ids))
            return conditional + scale * (conditional - without)

        if isinstance(scale, jax.Array):
            guided = jax.lax.cond(scale > 0, beyond, lambda: conditional)
        else:
            guided = beyond() if scale else conditional
        return guided if self.temperature == 1.0 else guided / self.temperature
