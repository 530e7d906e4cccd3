"""Flax modules: pure functions of (parameters, arrays). No files, no TensorFlow, no mesh."""

from collections.abc import Mapping
from typing import Any

from vpt_gen.nets.biggan import BigGAN
from vpt_gen.nets.classifier import Classifier
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.halton_maskgit import HaltonMaskGIT
from vpt_gen.nets.llamagen import LlamaGen
from vpt_gen.nets.llamagen_vqgan import LlamaGenVQGAN
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.rar import RAR
from vpt_gen.nets.taming_vqgan import TamingVQGAN
from vpt_gen.nets.titok import TiTok
from vpt_gen.nets.titok_maskgit import TiTokMaskGIT
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.nets.vqgan import VQGAN, Tokenizer
from vpt_gen.nets.vqvae import VQVAE

# Modules, and BigGAN, which is a pair of modules; what else a net offers depends on its kind.
NETS: dict[str, type[Any]] = {
    "vqgan": VQGAN,
    "vqvae": VQVAE,
    "maskgit": MaskGIT,
    "halton_maskgit": HaltonMaskGIT,
    "taming_vqgan": TamingVQGAN,
    "gpt": GPT,
    "llamagen_vqgan": LlamaGenVQGAN,
    "llamagen": LlamaGen,
    "rar": RAR,
    "titok": TiTok,
    "titok_maskgit": TiTokMaskGIT,
    "biggan": BigGAN,
    "classifier": Classifier,
}


def build(config: Mapping[str, Any]) -> Any:
    """Builds the module that a config describes: `net`, a key of `NETS`, and the module's fields.

    Raises:
      KeyError: an unknown net.
      TypeError: a field that the module does not have.
    """
    fields = {name: config[name] for name in config}
    net = NETS[fields.pop("net")]
    return net(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})


def name_of(net: Any) -> str:
    """Returns the name of a net's kind, a key of `NETS`."""
    return next(name for name, kind in NETS.items() if type(net) is kind)


def tokenizers() -> tuple[str, ...]:
    """Names of the nets that turn images into visual tokens and back."""
    return tuple(name for name, net in NETS.items() if issubclass(net, Tokenizer))


def transformers() -> tuple[str, ...]:
    """Names of the nets that model visual tokens."""
    return tuple(name for name, net in NETS.items() if issubclass(net, TokenTransformer))
