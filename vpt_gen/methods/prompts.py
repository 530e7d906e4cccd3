"""Method: prompt tuning. Trains a prompt generator, whose prompts replace the class token.

Visual Prompt Tuning for Generative Transfer Learning (arXiv 2210.00990),
google-research/generative_transfer.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax

from vpt_gen.errors import Requirement, UserError
from vpt_gen.methods.method import Conditions, Method
from vpt_gen.methods.record import Target, TransformerMethod
from vpt_gen.nets.prompt_generator import DESIGNS, PromptGenerator, init_params
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.ranges import Share, ShareBelowOne, Size, SizeOrZero
from vpt_gen.training.state import Params

CONDITIONS = ("class", "instance", "class+instance")


def make_method(generator: PromptGenerator) -> Method:
    """Trains only the generator's parameters; the transformer is unchanged."""

    def init(key: jax.Array, source: Params) -> Params:
        del source
        return init_params(generator, key)

    def conditions(
        trained: Params,
        class_ids: jax.Array | None,
        instance_ids: jax.Array | None = None,
        dropout_key: jax.Array | None = None,
    ) -> Conditions:
        tokens: Any = generator.apply(
            {"params": trained},
            class_ids if generator.num_classes else None,
            instance_ids if generator.num_instances else None,
            deterministic=dropout_key is None,
            rngs=None if dropout_key is None else {"dropout": dropout_key},
        )
        if not generator.vector:
            return {"prompts": tokens}
        return {"prompts": tokens[:, :-1], "vectors": tokens[:, -1]}

    return Method(
        init,
        generator.num_classes,
        lambda frozen, trained: frozen,
        conditions,
        generator,
    )


@dataclasses.dataclass(frozen=True)
class Prompts(TransformerMethod):
    """`config.task = "prompts"`, with the group `config.prompt`: see `nets/prompt_generator.py`."""

    # S; 0 for a vector alone.
    num_prompt_tokens: SizeOrZero = 32
    # P; 0 for the transformer's width, without a projection.
    feature_size: SizeOrZero = 0
    dropout_rate: ShareBelowOne = 0.1
    # Conditions of prompts: 'class', 'instance' (a training image), or 'class+instance'.
    condition: str = "class"
    # 'additive' as released, 'factorized' with num_factors, or 'full'.
    design: str = "additive"
    # F.
    num_factors: Size = 1
    # With 'class+instance': share of examples trained on the class alone.
    instance_dropout: Share = 0.5
    # Also a vector per condition, for transformers that one modulates (Halton-MaskGIT, RAR).
    vector: bool = False
    # How a transformer that rotates its positions takes prompts (docs/prompts.md): LlamaGen has
    # 'zero', 'plain' and 'identity'. '' is the transformer's own.
    rotation: str = ""

    name = "prompts"
    group = "prompt"
    learning_rate = 1e-3
    demo_learning_rate = 1e-2

    def requirements(self) -> Iterable[Requirement]:
        yield "condition", self.condition in CONDITIONS, f"one of {', '.join(CONDITIONS)}"
        yield "design", self.design in DESIGNS, f"one of {', '.join(DESIGNS)}"
        factors = self.num_factors == 1 or self.design == "factorized"
        yield "num_factors", factors, f"1 if config.{self.group}.design is not 'factorized'"
        some = self.num_prompt_tokens > 0 or self.vector
        yield "num_prompt_tokens", some, f"positive if config.{self.group}.vector is False"

    @property
    def trained(self) -> str:
        """What carries the condition, as the beginning of a sentence."""
        tokens = f"{self.num_prompt_tokens} prompt tokens"
        if not self.num_prompt_tokens:
            return "A vector"
        return f"{tokens} and a vector" if self.vector else tokens

    def sentence(self, what: str) -> str:
        return f"{self.trained}, tuned on a frozen {what} transformer"

    def prepared(self, net: TokenTransformer) -> TokenTransformer:
        try:
            return net.taking_prompts(self.rotation)
        except ValueError as error:
            named = f"config.{self.group}.rotation is {self.rotation!r}"
            raise UserError(f"{named}: {error}.") from error

    def adapt(self, target: Target) -> Method:
        return make_method(self.generator(target))

    def generator(self, target: Target) -> PromptGenerator:
        """Makes the prompt generator for a transformer and new images.

        Raises:
          UserError: a vector for a transformer that none modulates.
        """
        if self.vector and not target.net.takes_vectors:
            raise UserError(
                f"config.{self.group}.vector is True, but no vector modulates a "
                f"{target.net.title}: set it to False, or adapt a transformer that has one, such "
                "as Halton-MaskGIT."
            )
        width, projected = target.net.hidden_size, self.feature_size > 0
        return PromptGenerator(
            num_classes=target.num_classes if "class" in self.condition else 0,
            num_prompt_tokens=self.num_prompt_tokens,
            feature_size=self.feature_size if projected else width,
            hidden_size=width if projected else None,
            dropout_rate=self.dropout_rate,
            design=self.design,
            num_factors=self.num_factors,
            num_instances=target.num_instances,
            instance_dropout=self.instance_dropout,
            vector=self.vector,
        )
