"""Do the nets, the image size and a checkpoint of what was trained on them belong together?"""

import dataclasses
from typing import Any

from jax.sharding import Mesh
from ml_collections import ConfigDict

from vpt_gen.checkpoints.backbone import (
    TOKENIZERS,
    PretrainedNet,
    load_net,
)
from vpt_gen.config.fields import GAN_METHODS
from vpt_gen.errors import UserError
from vpt_gen.nets.biggan import RESOLUTIONS
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.vqgan import Tokenizer
from vpt_gen.training.compute import hold_frozen


def check_image_size(net: Tokenizer, image_size: int) -> None:
    """Raises UserError where the tokenizer does not divide the image side."""
    if image_size % net.downsampling:
        raise UserError(
            f"config.data.image_size {image_size} does not suit the tokenizer: it must be a "
            f"multiple of {net.downsampling}."
        )


def check_resolution(image_size: int) -> None:
    """Raises UserError where BigGAN has no net for the image side."""
    if image_size not in RESOLUTIONS:
        raise UserError(
            f"config.data.image_size is {image_size}; BigGAN knows "
            f"{', '.join(map(str, RESOLUTIONS))}."
        )


def tokens_per_image(net: Tokenizer, image_size: int) -> int:
    """N, the number of visual tokens of a square image."""
    return (image_size // net.downsampling) ** 2


def load_backbone(config: ConfigDict, mesh: Mesh) -> dict[str, PretrainedNet]:
    """The tokenizer and the transformer or BigGAN that a config adapts, on the mesh, as it says.

    Raises:
      UserError: one is missing or damaged, or they do not fit each other or the image size.
    """
    vqgan = load_net(config.backbone.tokenizer, *TOKENIZERS, mesh=mesh)
    if config.task in GAN_METHODS:
        check_image_size(vqgan.net, config.data.image_size)
        gan = load_net(config.backbone.gan, "biggan", mesh=mesh)
        if gan.net.resolution != config.data.image_size:
            raise UserError(
                f"config.data.image_size is {config.data.image_size}; the BigGAN in "
                f"{config.backbone.gan} makes images of {gan.net.resolution} pixels."
            )
        return {"tokenizer": vqgan, "gan": gan}
    kind = "maskgit" if config.family == "nar" else "gpt"
    backbone = load_net(config.backbone.transformer, kind, mesh=mesh)
    check_image_size(vqgan.net, config.data.image_size)
    num_tokens = tokens_per_image(vqgan.net, config.data.image_size)
    check_num_tokens(config, vqgan.net, backbone.net, num_tokens)
    check_codebooks(vqgan.net, backbone.net)
    net, params = hold_frozen(backbone.net, backbone.params, config.compute)
    return {
        "tokenizer": vqgan,
        "transformer": dataclasses.replace(backbone, net=net, params=params),
    }


def check_codebooks(vqgan: Tokenizer, net: MaskGIT | GPT) -> None:
    """Raises UserError where a transformer speaks of other codes than the tokenizer's."""
    if vqgan.codebook_size != net.codebook_size:
        raise UserError(
            f"The tokenizer has {vqgan.codebook_size} codes, the transformer knows "
            f"{net.codebook_size}: these are nets that do not belong together."
        )


def check_num_tokens(config: ConfigDict, vqgan: Tokenizer, net: MaskGIT | GPT, num_tokens: int):
    """Raises UserError where the transformer cannot take so many visual tokens.

    A MaskGIT takes one number of them; a GPT any up to its positions, or that of its order.
    """
    fixed = net.num_tokens if config.family == "nar" else len(net.order)
    if num_tokens == fixed or (not fixed and num_tokens <= net.num_positions):
        return
    count = fixed or net.num_positions
    side = int(count**0.5) * vqgan.downsampling
    raise UserError(
        f"config.data.image_size {config.data.image_size} gives {num_tokens} visual tokens, but "
        f"the transformer takes {count if fixed else f'at most {count}'}: set it to {side}."
    )


def check_backbone(facts: dict[str, Any], nets: dict[str, PretrainedNet]) -> None:
    """Raises UserError where a checkpoint was trained on other nets than these."""
    for name, net in nets.items():
        if facts[name] != net.digest:
            raise UserError(
                f"The run was trained on a {name} with digest {facts[name][:12]}, this one has "
                f"{net.digest[:12]}: point --{name} to the right one."
            )
