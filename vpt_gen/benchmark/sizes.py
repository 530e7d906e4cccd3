"""The measured models: their nets, with random weights."""

import dataclasses
import itertools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.halton_maskgit import HaltonMaskGIT
from vpt_gen.nets.llamagen import LlamaGen
from vpt_gen.nets.llamagen_vqgan import LlamaGenVQGAN
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.stack import init_shapes
from vpt_gen.nets.taming_vqgan import TamingVQGAN
from vpt_gen.nets.titok import TiTok
from vpt_gen.nets.titok_maskgit import TiTokMaskGIT
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.nets.vqgan import VQGAN, Tokenizer


@dataclasses.dataclass(frozen=True)
class Size:
    """A model.

    Attributes:
      transformer: its net.
      tokenizer: its net.
      image_size: side of its images, pixels.
      num_prompt_tokens: S, the default.
    """

    transformer: TokenTransformer
    tokenizer: Tokenizer
    image_size: int
    num_prompt_tokens: int

    @property
    def num_tokens(self) -> int:
        """N."""
        return math.prod(self.tokenizer.token_shape(self.image_size))


_SMALL: dict[str, Any] = {
    "num_layers": 6,
    "hidden_size": 128,
    "num_heads": 4,
    "intermediate_size": 512,
}
_SMALL_VQGAN = VQGAN(32, (1, 1, 2), 1, 32, 256)
SIZES = {
    "demo": Size(MaskGIT(256, 346, 64, **_SMALL, dropout_rate=0.0), _SMALL_VQGAN, 32, 16),
    "demo_ar": Size(GPT(256, 64, **_SMALL), _SMALL_VQGAN, 32, 64),
    "maskgit256": Size(MaskGIT(), VQGAN(), 256, 128),
    # Taming Transformers' class-conditional ImageNet model, and one of the size of its others.
    "cin": Size(GPT(), TamingVQGAN(), 256, 128),
    "taming24x1024": Size(
        GPT(num_layers=24, hidden_size=1024, num_heads=16, intermediate_size=4096),
        TamingVQGAN(),
        256,
        128,
    ),
    "halton_tiny": Size(
        HaltonMaskGIT(num_layers=6, hidden_size=384, num_heads=6, intermediate_size=1024),
        LlamaGenVQGAN(),
        256,
        128,
    ),
    "halton_base": Size(HaltonMaskGIT(), LlamaGenVQGAN(), 256, 128),
    # As many prompts as layers, as configs/folder.py has them.
    "llamagen_b": Size(LlamaGen(), LlamaGenVQGAN(), 256, 12),
    "llamagen_l": Size(
        LlamaGen(num_layers=24, hidden_size=1024, num_heads=16, intermediate_size=2816),
        LlamaGenVQGAN(),
        256,
        24,
    ),
    "titok_l32": Size(TiTokMaskGIT(), TiTok(), 256, 16),
}

_BLOCK = 2**20


def random_params(net: nn.Module | TokenTransformer, *inputs: Any, **conditions: Any) -> Any:
    """Makes random parameters on the host, fast: matrices are small noise, norms are 1.

    No two are equal: a compiler stores equal constants once, and would read less than the real
    amount.
    """
    shapes = init_shapes(net, *inputs, **conditions)
    noise = np.random.default_rng(0).standard_normal(_BLOCK, np.float32) * np.float32(0.02)
    numbers = itertools.count()

    def values(path, leaf):
        factor = np.float32(1 + next(numbers) / 1000)
        if path[-1].key == "scale":
            return np.full(leaf.shape, factor)
        return np.resize(noise * factor, leaf.shape)

    return jax.tree_util.tree_map_with_path(values, shapes)


def transformer_params(size: Size) -> Any:
    """Makes random parameters of the transformer."""
    tokens = jnp.zeros((1, size.num_tokens), jnp.int32)
    return random_params(size.transformer, tokens, class_ids=tokens[:, 0])


def tokenizer_params(size: Size) -> Any:
    """Makes random parameters of the tokenizer."""
    side = size.tokenizer.downsampling
    return random_params(size.tokenizer, jnp.zeros((1, side, side, 3)))
