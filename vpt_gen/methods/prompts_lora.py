"""Method: prompts first, and from there prompts and LoRA together.

Personalized Text-to-Image Generation with Auto-Regressive Models (arXiv 2504.13162) optimizes the
embeddings of a new concept first and then also the layers, by LoRA among others: trained together
from the beginning, the embeddings stay behind. Here both stages are one run, with one schedule of
the learning rate and one state of the optimizer.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp

from vpt_gen.errors import Requirement
from vpt_gen.methods import lora, prompts
from vpt_gen.methods.method import Method
from vpt_gen.methods.record import Target
from vpt_gen.nets.prompt_generator import PromptGenerator
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.ranges import Positive, Size, UpdatesOrZero
from vpt_gen.training.state import Params

_PROMPTS = "prompt_"  # How the names of the generator's parameters begin; no layer's do.


def _of_layers(trained: Params) -> Params:
    return {name: part for name, part in trained.items() if not name.startswith(_PROMPTS)}


def make_method(
    net: TokenTransformer,
    generator: PromptGenerator,
    rank: int,
    alpha: float,
    matrices: Sequence[str],
    prompt_steps: int,
) -> Method:
    """Trains the generator's parameters, and r (D_in + D_out) per matrix.

    Args:
      net: the transformer.
      generator: of the prompts.
      rank: r.
      alpha: the update is scaled by alpha / r.
      matrices: which of `nets.transformer.MATRICES` of each layer.
      prompt_steps: updates in which the prompts train alone.
    """
    alone = prompts.make_method(generator)

    def init(key: jax.Array, source: Params) -> Params:
        of_prompts, of_layers = jax.random.split(key)
        products = lora.new_products(net, source, of_layers, rank, matrices)
        return alone.init(of_prompts, source) | products

    def params(frozen: Params, trained: Params) -> Params:
        return lora.with_products(frozen, _of_layers(trained), alpha / rank)

    def in_turn(step: jax.Array, changes: Params) -> Params:
        waits = jnp.where(step < prompt_steps, 0.0, 1.0)
        return changes | jax.tree.map(lambda x: waits * x, _of_layers(changes))

    return dataclasses.replace(alone, init=init, params=params, in_turn=in_turn)


@dataclasses.dataclass(frozen=True)
class PromptsLoRA(prompts.Prompts):
    """`config.task = "prompts_lora"`: the fields of `prompts` and `lora`, and when LoRA begins."""

    rank: Size = 4
    # The update is scaled by alpha / rank.
    alpha: Positive = 32.0
    # Of each layer, as for LoRA.
    matrices: tuple[str, ...] = ("query", "value")
    # Updates in which the prompts train alone.
    prompt_steps: UpdatesOrZero = 500

    name = "prompts_lora"
    group = "prompts_lora"
    changes_source = True
    learning_rate = 1e-3
    demo_learning_rate = 1e-2
    first_stage = "prompt_steps"

    def requirements(self) -> Iterable[Requirement]:
        yield from super().requirements()
        yield lora.matrices_requirement(self.matrices)

    def sentence(self, what: str) -> str:
        late = f", after {self.prompt_steps:,} updates," if self.prompt_steps else ""
        return (
            f"{self.trained} and{late} LoRA of rank {self.rank}, trained on a frozen {what} "
            "transformer"
        )

    def adapt(self, target: Target) -> Method:
        lora.check_matrices(target.net, self.group, self.matrices)
        generator = self.generator(target)
        options = self.rank, self.alpha, self.matrices, self.prompt_steps
        return make_method(target.net, generator, *options)
