"""The backbones that prompts can be tuned on, each with its config, and their work per image.

Nets are built without parameters; a published file does not have to be here.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from vpt_gen.checkpoints import arrival
from vpt_gen.checkpoints.backbone import TOKENIZERS, load_net
from vpt_gen.checkpoints.released.published import BACKBONES, FILES, Backbone
from vpt_gen.nets import transformers
from vpt_gen.nets.stack import init_shapes
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.nets.vqgan import Tokenizer
from vpt_gen.recipes import adaptation
from vpt_gen.runs.compatibility import tokens_per_image
from vpt_gen.tables import flops
from vpt_gen.tables.costs import Model, decoding_bytes, decoding_flops
from vpt_gen.tables.method_sizes import train_state
from vpt_gen.tables.published_nets import published_net
from vpt_gen.tables.working_memory import peak_bytes

# Of the images to tune on.
NUM_IMAGES, NUM_CLASSES = 100, 10
_LICENSE_OF_SHIPPED = "Apache-2.0"


@dataclasses.dataclass(frozen=True)
class Work:
    """FLOPs of products, and bytes of intermediate values."""

    flops: int
    bytes: int


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A backbone with the config that tunes it.

    Attributes:
      name: in tables.
      config: of its run.
      published: its entry in `BACKBONES`; None for a shipped source.
    """

    name: str
    config: ConfigDict
    published: Backbone | None = None

    @functools.cached_property
    def nets(self) -> tuple[Tokenizer, TokenTransformer]:
        """Its nets, without parameters."""
        chosen = arrival.chosen(self.config.backbone)
        return _net(chosen["tokenizer"], *TOKENIZERS), _net(chosen["transformer"], *transformers())

    @property
    def license(self) -> str:
        """The license of its weights."""
        names = self.published.files if self.published else ()
        return (
            ", ".join(dict.fromkeys(FILES[name].license for name in names)) or _LICENSE_OF_SHIPPED
        )

    @functools.cached_property
    def model(self) -> Model:
        """Its transformer, with the numbers of its config."""
        tokenizer, transformer = self.nets
        return Model(
            transformer,
            tokens_per_image(tokenizer, self.config.data.image_size),
            self.config.prompt.num_prompt_tokens,
            self.config.decode.get("num_iterations", 0),
        )

    @functools.cached_property
    def state(self) -> Any:
        """Shapes of what is trained, and of the optimizer's state."""
        model = self.model
        return train_state(self.config, model.net, model.num_tokens, NUM_CLASSES)

    @functools.cached_property
    def tokenizing(self) -> Work:
        """The tokenizer's work on one image."""
        return _tokenizer_work(self.nets[0], "tokenize", _image(self.config.data.image_size))

    @functools.cached_property
    def detokenizing(self) -> Work:
        """The tokenizer's work on the tokens of one image."""
        shape = self.nets[0].token_shape(self.config.data.image_size)
        tokens = jax.ShapeDtypeStruct((1, *shape), jnp.int32)
        return _tokenizer_work(self.nets[0], "detokenize", tokens)

    @property
    def tokenizer_shapes(self) -> Any:
        """Shapes of the tokenizer's parameters."""
        return _tokenizer_shapes(self.nets[0])

    @property
    def drawing(self) -> Work:
        """The transformer's work to draw one image; guidance is a second pass."""
        passes = 2 if self.config.decode.get("guidance", 0) else 1
        return Work(
            passes * decoding_flops(self.model),
            passes * decoding_bytes(self.model, jnp.dtype(self.config.compute.dtype).itemsize),
        )


def candidates() -> list[Candidate]:
    """Returns the shipped sources, and every published backbone with configs/folder.py."""
    shipped = {
        "demo": adaptation.demo("nar", "prompts"),
        "photos": adaptation.folder(""),
        "photos, `nar`": adaptation.folder("nar"),
    }
    return [Candidate(name, config) for name, config in shipped.items()] + [
        Candidate(name, adaptation.folder(name), backbone) for name, backbone in BACKBONES.items()
    ]


# Of several candidates with one tokenizer, once.


@functools.cache
def _tokenizer_shapes(tokenizer: Tokenizer) -> Any:
    return init_shapes(tokenizer, _image(tokenizer.downsampling))


@functools.cache
def _tokenizer_work(tokenizer: Tokenizer, method: str, given: jax.ShapeDtypeStruct) -> Work:
    @jax.jit  # Traced once for both counts.
    def run(params, given):
        return tokenizer.apply({"params": params}, given, method=method)

    arguments = (_tokenizer_shapes(tokenizer), given)
    return Work(flops.count(run, *arguments), peak_bytes(run, *arguments))


def _net(where: str, *kinds: str) -> Any:
    return published_net(where) if where in FILES else load_net(where, *kinds).net


def _image(side: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
