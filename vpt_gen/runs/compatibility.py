"""Checks whether nets, image size and a checkpoint trained on the nets fit together."""

import dataclasses
import math
from typing import Any

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from vpt_gen.checkpoints import arrival
from vpt_gen.checkpoints.backbone import (
    TOKENIZERS,
    PretrainedNet,
    load_net,
)
from vpt_gen.decode import decoders
from vpt_gen.errors import UserError
from vpt_gen.nets import transformers
from vpt_gen.nets.biggan import RESOLUTIONS
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.nets.vqgan import Tokenizer
from vpt_gen.training.compute import hold_frozen


def check_image_size(net: Tokenizer, image_size: int) -> None:
    """Raises UserError if the tokenizer does not divide the image side."""
    if not net.takes(image_size):
        kind = "a multiple of " if net.is_spatial else ""
        raise UserError(
            f"config.data.image_size {image_size} does not fit the tokenizer: it must be "
            f"{kind}{net.downsampling}."
        )


def check_resolution(image_size: int) -> None:
    """Raises UserError if BigGAN has no net for the image side."""
    if image_size not in RESOLUTIONS:
        raise UserError(
            f"config.data.image_size is {image_size}; BigGAN supports "
            f"{', '.join(map(str, RESOLUTIONS))}."
        )


def tokens_per_image(net: Tokenizer, image_size: int) -> int:
    """Returns N, the number of visual tokens of a square image."""
    return math.prod(net.token_shape(image_size))


def load_tokenizer_and_transformer(config: ConfigDict, mesh: Mesh) -> dict[str, PretrainedNet]:
    """Loads a config's tokenizer and the transformer that it adapts, on the mesh.

    Raises:
      UserError: a missing or damaged net, or nets that do not fit each other or the image size.
    """
    paths = arrival.directories(config.backbone)
    vqgan = _load_tokenizer(config, paths["tokenizer"], mesh)
    backbone = load_net(paths["transformer"], *transformers(), mesh=mesh)
    check_family(config, backbone.net)
    num_tokens = tokens_per_image(vqgan.net, config.data.image_size)
    check_num_tokens(config, vqgan.net, backbone.net, num_tokens)
    check_codebooks(vqgan.net, backbone.net)
    net, params = hold_frozen(backbone.net, backbone.params, config.compute)
    return {
        "tokenizer": vqgan,
        "transformer": dataclasses.replace(backbone, net=net, params=params),
    }


def load_tokenizer_and_gan(config: ConfigDict, mesh: Mesh) -> dict[str, PretrainedNet]:
    """Loads a config's tokenizer, for measuring, and the BigGAN that it adapts, on the mesh.

    Raises:
      UserError: a missing or damaged net, or one that does not fit the image size.
    """
    paths = arrival.directories(config.backbone)
    vqgan = _load_tokenizer(config, paths["tokenizer"], mesh)
    gan = load_net(paths["gan"], "biggan", mesh=mesh)
    if gan.net.resolution != config.data.image_size:
        raise UserError(
            f"config.data.image_size is {config.data.image_size}; the BigGAN in "
            f"{paths['gan']} makes images of {gan.net.resolution} pixels."
        )
    return {"tokenizer": vqgan, "gan": gan}


def _load_tokenizer(config: ConfigDict, path: str, mesh: Mesh) -> PretrainedNet:
    vqgan = load_net(path, *TOKENIZERS, mesh=mesh)
    check_image_size(vqgan.net, config.data.image_size)
    return vqgan


def check_family(config: ConfigDict, net: TokenTransformer) -> None:
    """Raises UserError if the config's family or decoder does not fit the transformer."""
    named = arrival.chosen(config.backbone)["transformer"]
    if net.family != config.family:
        raise UserError(
            f"{named} holds a {net.title}, which is of the family "
            f"{net.family!r}, but config.family is {config.family!r}: use a config of that family "
            f"(such as configs/folder.py:{net.family}), or name another transformer."
        )
    known = decoders.of_net(net)
    decoder = config.decode.get("decoder", known[0])
    if decoder not in known:
        raise UserError(
            f"config.decode.decoder is {decoder!r}, which does not work with the {net.title} in "
            f"{named}; use one of {', '.join(known)}."
        )


def check_codebooks(vqgan: Tokenizer, net: TokenTransformer) -> None:
    """Raises UserError if a transformer and a tokenizer have different codebook sizes."""
    if vqgan.codebook_size != net.codebook_size:
        raise UserError(
            f"The tokenizer has {vqgan.codebook_size} codes, but the transformer has "
            f"{net.codebook_size}: use the tokenizer that the transformer was trained on."
        )


def check_arrangement(
    vqgan: Tokenizer, net: TokenTransformer | type[TokenTransformer], cure: str
) -> None:
    """Raises UserError if one has a grid of tokens and the other a sequence; `cure` ends it."""
    if vqgan.is_spatial == net.one_dimensional:
        ours, theirs = ("a grid", "a sequence")[:: 1 if vqgan.is_spatial else -1]
        raise UserError(
            f"The tokens of the tokenizer form {ours}, but a {net.title} models {theirs}: {cure}."
        )


def check_num_tokens(config: ConfigDict, vqgan: Tokenizer, net: TokenTransformer, num_tokens: int):
    """Raises UserError if the transformer cannot take so many visual tokens."""
    check_arrangement(vqgan, net, "use the tokenizer that the transformer was trained on")
    fewest, most = net.token_counts
    if fewest <= num_tokens <= most:
        return
    if not vqgan.is_spatial:
        raise UserError(
            f"The tokenizer gives {num_tokens} visual tokens, but the transformer takes {most}: "
            "use the tokenizer that the transformer was trained on."
        )
    side = int(most**0.5) * vqgan.downsampling
    raise UserError(
        f"config.data.image_size {config.data.image_size} gives {num_tokens} visual tokens, but "
        f"the transformer takes {most if fewest == most else f'at most {most}'}: set it to {side}."
    )


def check_backbone(facts: dict[str, Any], nets: dict[str, PretrainedNet]) -> None:
    """Raises UserError if a checkpoint was trained on other nets."""
    for name, net in nets.items():
        recorded = str(facts.get(name, "unknown"))
        if recorded != net.digest:
            raise UserError(
                f"The run was trained on a {name} with digest {recorded[:12]}, but this one has "
                f"{net.digest[:12]}: give the right one with --{name}."
            )


def check_params(params: Any, expected: Any, problem: str, cure: str) -> None:
    """Raises UserError if a run's parameters do not have the shapes that its config describes.

    Args:
      params: of the run.
      expected: a tree of the same shapes.
      problem: the beginning of the error, such as "The checkpoint does not fit its config.json".
      cure: its end.
    """
    found, wanted = (_shapes(tree) for tree in (params, expected))
    differing = sorted(name for name in found | wanted if found.get(name) != wanted.get(name))
    if differing:
        name = differing[0]
        raise UserError(
            f"{problem}: {name} has the shape {found.get(name)} instead of {wanted.get(name)}; "
            f"{cure}."
        )


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.shape)
        for path, leaf in leaves
    }
