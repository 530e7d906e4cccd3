"""All decoders by name; a new one needs its file and a line here."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from vpt_gen.decode.approximate import Frontier, Masked
from vpt_gen.decode.autoregressive import Autoregressive
from vpt_gen.decode.confidence import Confidence
from vpt_gen.decode.decoder import Decoder
from vpt_gen.decode.entropy import Entropy
from vpt_gen.decode.halton import Halton
from vpt_gen.decode.halton_released import HaltonReleased
from vpt_gen.decode.moment import Moment
from vpt_gen.decode.path_planning import PathPlanning
from vpt_gen.decode.remasking import Remasking
from vpt_gen.decode.titok_released import TiTokReleased
from vpt_gen.nets.transformer import TokenTransformer

# The first decoder of a family is its default.
DECODERS: dict[str, type[Decoder]] = {
    "confidence": Confidence,
    "halton": Halton,
    "masked": Masked,
    "frontier": Frontier,
    "remasking": Remasking,
    "path_planning": PathPlanning,
    "entropy": Entropy,
    "moment": Moment,
    "halton_released": HaltonReleased,
    "titok_released": TiTokReleased,
    "autoregressive": Autoregressive,
}


def of_family(family: str) -> list[str]:
    """Returns the names of a family's decoders, the default first."""
    return [name for name, decoder in DECODERS.items() if decoder.family == family]


def of_net(net: TokenTransformer) -> list[str]:
    """Returns the names of the decoders that work with a transformer, the default first."""
    return [name for name, decoder in DECODERS.items() if decoder.works_with(net)]


def options_of(family: str) -> dict[str, Any]:
    """Returns the options of all decoders of a family, with their defaults."""
    fields = [f for name in of_family(family) for f in dataclasses.fields(DECODERS[name])]
    return {field.name: field.default for field in fields}


def own_options(name: str) -> list[str]:
    """Returns the names of a decoder's options."""
    return [field.name for field in dataclasses.fields(DECODERS[name])]


def make_decoder(family: str, options: Mapping[str, Any]) -> Decoder:
    """Makes the decoder that options describe; options of the family's other decoders are ignored.

    Args:
      family: of the transformer.
      options: `decoder`, by default the family's first, and its options.

    Raises:
      ValueError: a decoder or an option that the family does not have, or guidance for a decoder
        without it.
    """
    known = of_family(family)
    name = options.get("decoder", known[0])
    if name not in known:
        raise ValueError(f"Decoder {name!r} is not known; it must be one of {', '.join(known)}.")
    own = own_options(name)
    if unknown := options.keys() - options_of(family).keys() - {"decoder"}:
        raise ValueError(f"Decoding has no option {min(unknown)!r}.")
    if options.get("guidance") and "guidance" not in own:
        raise ValueError(f"The decoder {name!r} has no guidance; set guidance to 0.")
    return DECODERS[name](**{key: options[key] for key in own if key in options})
