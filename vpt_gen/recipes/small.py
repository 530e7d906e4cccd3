"""How small nets of each kind are pretrained and tuned at equal compute, for comparison.

All have three layers of width 64 and about as many numbers per layer and position. All but TiTok's
generator, which has 32 tokens of its own tokenizer, see a drawing as the same 64 tokens of the
demo's. `python -m pytest tests/test_equal_compute.py` counts the FLOPs.
"""

import dataclasses

from ml_collections import ConfigDict

from vpt_gen.config.fields import default_config
from vpt_gen.errors import UserError
from vpt_gen.nets import NETS
from vpt_gen.recipes.adaptation import demo
from vpt_gen.recipes.pretraining import small_transformer, use_grey_drawings

_WIDTH = 64
_PLAIN = 4 * _WIDTH
# Gated MLPs have three matrices where plain ones have two.
_GATED = 8 * _WIDTH // 3


# FLOPs of the pretraining of each net.
PRETRAINING_FLOPS = 9.6e12


@dataclasses.dataclass(frozen=True)
class Small:
    """A net in this comparison.

    Attributes:
      intermediate_size: of its MLPs.
      step_flops: of an update of pretraining, in products.
    """

    intermediate_size: int
    step_flops: float


NETS_COMPARED = {
    "maskgit": Small(_PLAIN, 2.403e9),
    "gpt": Small(_PLAIN, 2.315e9),
    "halton_maskgit": Small(_GATED, 2.364e9),
    "llamagen": Small(_GATED, 2.301e9),
    "rar": Small(_PLAIN, 3.375e9),
    "titok_maskgit": Small(_PLAIN, 1.115e9),
}
_VQGAN = "vpt_gen/assets/demo/tokenizer"


def _small(net: str) -> Small:
    if net not in NETS_COMPARED:
        raise UserError(f"{net!r} is not compared; use one of {', '.join(NETS_COMPARED)}.")
    return NETS_COMPARED[net]


def _tokenizer(net: str) -> str:
    return "runs/small/titok/net" if NETS[net].one_dimensional else _VQGAN


def small_tokenizer() -> ConfigDict:
    """Makes the config that trains a small TiTok on the codes of the demo's VQGAN."""
    config = default_config("tokenizer", net="titok")
    config.num_steps = 12000
    config.batch_size = 32
    config.eval_every = 1000
    config.checkpoint_every = 500
    use_grey_drawings(config)

    config.losses.predict_codes_of = _VQGAN
    config.losses.adversarial_weight = 0.0
    config.losses.quantizer_start = 1500

    config.model.image_size = 32
    config.model.patch_size = 4
    config.model.num_tokens = 32
    config.model.codebook_size = 256
    # Short codes: 256 of them fill the sphere, so that quantization costs an image little.
    config.model.embedding_dim = 4
    for part in ("encoder", "decoder"):
        sizes = {"width": _WIDTH, "layers": 3, "heads": 4}
        config.model.update({f"{part}_{name}": value for name, value in sizes.items()})
    # The VQGAN's.
    config.model.pixel_codes = 256
    config.model.pixel_dim = 32
    config.model.filters = 32
    config.model.channel_multipliers = (1, 1, 2)
    config.model.num_res_blocks = 1

    config.optimizer.learning_rate = 3e-3
    config.optimizer.warmup_steps = 100
    config.optimizer.b2 = 0.99
    config.optimizer.clip_norm = 1.0
    return config


def small_source(net: str) -> ConfigDict:
    """Makes the config that pretrains a small net on the drawings of the demo's source.

    Args:
      net: key of `NETS_COMPARED`.
    """
    chosen = _small(net)
    config = small_transformer(NETS[net].family, net, num_layers=3, hidden_size=_WIDTH, num_heads=4)
    config.num_steps = round(PRETRAINING_FLOPS / chosen.step_flops)
    config.eval_every = 1000
    config.checkpoint_every = 500
    config.optimizer.warmup_steps = 100

    use_grey_drawings(config)
    config.data.cache_views = 2
    # The nets of a comparison read the same tokens.
    config.data.cache_dir = "runs/small/tokens"
    config.backbone.tokenizer = _tokenizer(net)

    config.model.intermediate_size = chosen.intermediate_size
    # For guidance.
    config.model.class_dropout = 0.1
    return config


def small_digits(net: str) -> ConfigDict:
    """Makes the config that tunes prompts of such a net to the demo's digits.

    Args:
      net: key of `NETS_COMPARED`; `small_source` has pretrained it.
    """
    _small(net)
    config = demo(NETS[net].family, "prompts")
    config.num_steps = 300
    config.batch_size = 48
    config.backbone.tokenizer = _tokenizer(net)
    config.backbone.transformer = f"runs/small/{net}/net"
    config.evaluation.tokenizer = _VQGAN
    config.decode.guidance = 1.0
    if NETS[net].one_dimensional:
        config.decode.decoder = "confidence"
    if config.family == "ar":
        config.decode.temperature = 0.6
        config.decode.top_p = 0.95
    return config
