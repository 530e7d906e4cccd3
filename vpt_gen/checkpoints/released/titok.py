"""TiTok's tokenizers: torch files of a flat state dict, or folders of the Hub with a config.

Source: bytedance/1d-tokenizer `modeling/titok.py`. The first files (`tokenizer_titok_l32.bin`) hold
the decoder of a VQGAN as well, and have no settings next to them; the later ones (`..._vq8k`) hold
`model.safetensors` and `config.json`. What is only ever added to a table of positions - learned
latents, class tokens, the mask of an empty grid - is added here once.
"""

import contextlib
import json
import math
import pathlib
import re
from typing import Any

import numpy as np

from vpt_gen.checkpoints.released import layout, maskgit_vqgan_torch
from vpt_gen.checkpoints.released.diffusers_vqgan import open_safetensors, open_torch
from vpt_gen.errors import UserError
from vpt_gen.nets.titok import TiTok

_WHAT = "tokenizer of TiTok"
WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"
_HEAD_SIZE = 64  # of all published models.
_CODEBOOK, _PIXEL_CODEBOOK = "quantize.embedding.weight", "pixel_quantize.embedding.weight"
# Our modules -> the file's: in a layer, and around the layers.
_MODULES = {
    "attention_norm": "ln_1",
    **{f"attention/{name}": "attn.in_proj" for name in layout.INPUTS},
    "attention/out": "attn.out_proj",
    "mlp_norm": "ln_2",
    "mlp_in": "mlp.c_fc",
    "mlp_out": "mlp.c_proj",
    "encoder/patches": "encoder.patch_embed",
    "encoder/transformer/first_norm": "encoder.ln_pre",
    "encoder/last_norm": "encoder.ln_post",
    "encoder/latents_out": "encoder.conv_out",
    "decoder/latents_in": "decoder.decoder_embed",
    "decoder/transformer/first_norm": "decoder.ln_pre",
    "decoder/last_norm": "decoder.ln_post",
    "pixels/hidden": "decoder.ffn.0",
    "pixels/code_logits": "decoder.ffn.2",
    "pixels/pixels_out": "decoder.ffn.0",
    "pixels/smoothing": "decoder.conv_out",
}
_TABLES = {
    "encoder/latent_embeddings/embedding": (
        "encoder.latent_token_positional_embedding",
        "latent_tokens",
    ),
    "encoder/position_embeddings/embedding": (
        "encoder.positional_embedding",
        "encoder.class_embedding",
    ),
    "decoder/latent_embeddings/embedding": ("decoder.latent_token_positional_embedding",),
    "decoder/position_embeddings/embedding": (
        "decoder.positional_embedding",
        "decoder.class_embedding",
        "decoder.mask_token",
    ),
}


def read(
    path: pathlib.Path, encoder_heads: int | None = None, decoder_heads: int | None = None
) -> tuple[dict[str, Any], Any]:
    """Returns the fields of `nets.titok.TiTok` and its parameters.

    Args:
      path: the file, or a folder of the Hub; of a safetensors file, `config.json` next to it is
        read as well, if it exists.
      encoder_heads: attention heads of the encoder; by default one for 64 channels, as published.
      decoder_heads: the same of the decoder.

    Raises:
      UserError: a missing file, or tensors or settings that such a net does not have.
    """
    file = path / WEIGHTS_FILE if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"{path} holds no {WEIGHTS_FILE}; name the file of weights or its folder.")
    is_hub = file.suffix == ".safetensors"
    with contextlib.ExitStack() as stack:
        found, tensor = open_safetensors(file, stack) if is_hub else open_torch(file)
        settings = _settings(file.with_name(CONFIG_FILE)) if is_hub else {}
        fields = _fields(file, found, settings, encoder_heads, decoder_heads)
        with layout.expect(file, _WHAT):
            net = TiTok(**fields)
            ours = layout.param_shapes(net, layout.image_batch(net.image_size))
        layout.check(file, found, file_shapes(fields, ours))
        params = {name: _values(file, name, shape, fields, tensor) for name, shape in ours.items()}
    return fields, layout.nest(params)


def _settings(path: pathlib.Path) -> dict[str, Any]:
    """The part on the tokenizer of a Hub's config; nothing if there is no config."""
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_bytes())["model"]["vq_model"])
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise UserError(f"{path} is not a config of TiTok ({error}); fetch it again.") from error


def _fields(file, found: layout.Shapes, settings, encoder_heads, decoder_heads) -> dict[str, Any]:
    patches, last = "encoder.patch_embed.weight", "decoder.ffn.0.weight"
    places, wide = "encoder.positional_embedding", "decoder.positional_embedding"
    needed = {patches: 4, places: 2, wide: 2, "latent_tokens": 2, _CODEBOOK: 2, last: 4}
    has_codes = _PIXEL_CODEBOOK in found
    first, logits = "pixel_decoder.up.0.block.0.conv1.weight", "decoder.ffn.2.weight"
    more = {_PIXEL_CODEBOOK: 2, first: 4, logits: 4} if has_codes else {}
    layout.require(file, _WHAT, found, {**needed, **more})
    side = math.isqrt(max(found[places][0] - 1, 0))
    if side < 1 or side * side != found[places][0] - 1:
        raise UserError(
            f"{file} has {found[places][0]} positions ({places}), not one more than the patches of "
            "a square image."
        )
    patch_size, (codes, dim) = found[patches][2], found[_CODEBOOK]
    fields = {
        "image_size": side * patch_size,
        "patch_size": patch_size,
        "num_tokens": found["latent_tokens"][0],
        "embedding_dim": dim,
        "codebook_size": codes,
        **_sizes("encoder", found, found[places][1], encoder_heads),
        **_sizes("decoder", found, found[wide][1], decoder_heads),
        "unit_codes": bool(settings.get("use_l2_norm", has_codes)),
        # A config without the entry is older than the proper order.
        "mixes_latents": bool(settings.get("is_legacy", True if settings else has_codes)),
        "pixel_codes": 0,
    }
    return fields | (_pixel_fields(file, found, first) if has_codes else {})


def _sizes(part: str, found: layout.Shapes, width: int, heads: int | None) -> dict[str, int]:
    prefix = f"{part}.transformer"
    return {
        f"{part}_width": width,
        f"{part}_layers": layout.count(
            lambda i: any(name.startswith(f"{prefix}.{i}.") for name in found)
        ),
        f"{part}_heads": heads or max(width // _HEAD_SIZE, 1),
    }


def _pixel_fields(file, found: layout.Shapes, first: str) -> dict[str, Any]:
    def number(module: str) -> int:
        return layout.count(lambda i: any(name.startswith(f"{module}.{i}.") for name in found))

    widths = [
        f"pixel_decoder.up.{level}.block.0.conv1.weight"
        for level in range(number("pixel_decoder.up"))
    ]
    layout.require(file, _WHAT, found, dict.fromkeys(widths, 4))
    filters = found[first][0]
    codes, dim = found[_PIXEL_CODEBOOK]
    return {
        "pixel_codes": codes,
        "pixel_dim": dim,
        "filters": filters,
        "channel_multipliers": tuple(found[width][0] // filters for width in widths),
        "num_res_blocks": number("pixel_decoder.up.0.block"),
    }


def file_shapes(fields: dict[str, Any], ours: layout.Shapes) -> dict[str, tuple[int, ...]]:
    """Returns the file's names and shapes of a net with these fields and parameters."""
    tables = {path: shape for path, shape in ours.items() if path in _TABLES}
    shapes: dict[str, tuple[int, ...]] = {}
    for path, (rows, width) in tables.items():
        for name in _TABLES[path]:
            shapes[name] = {
                "encoder.class_embedding": (1, width),
                "decoder.class_embedding": (1, width),
                "decoder.mask_token": (1, 1, width),
            }.get(name, (rows, width))
    for path, shape in ours.items():
        if path not in tables:
            name, part = _origin(path, fields)
            first, *rest = _torch_shape(path, shape)
            shapes[name] = (first * len(layout.INPUTS) if part is not None else first, *rest)
    return shapes


def _origin(path: str, fields: dict[str, Any]) -> tuple[str, int | None]:
    """The file's name of a parameter, and which third of it that is; None for all of it."""
    if path == "quantizer/codebook":
        return _CODEBOOK, None
    if path == "pixels/quantizer/codebook":
        return _PIXEL_CODEBOOK, None
    if path.startswith("pixels/decoder/"):
        levels, blocks = len(fields["channel_multipliers"]), fields["num_res_blocks"]
        theirs = path.removeprefix("pixels/")
        return f"pixel_{maskgit_vqgan_torch.file_name(theirs, levels, blocks)}", None
    match = re.fullmatch(r"(?:(\w+)/transformer/layer_(\d+)/)?(.+)/(\w+)", path)
    assert match is not None  # Every other parameter belongs to a module.
    part, layer, module, leaf = match.groups()
    where = f"{part}.transformer.{layer}." if layer else ""
    leaf = "bias" if leaf == "bias" else "weight"
    input_name = module.removeprefix("attention/")
    if input_name in layout.INPUTS:
        return f"{where}{_MODULES[module]}_{leaf}", layout.INPUTS.index(input_name)
    return f"{where}{_MODULES[module]}.{leaf}", None


def _torch_shape(path: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Torch's shape: outputs first, heads one axis; products over places are convolutions."""
    if not path.endswith("/kernel"):
        return (math.prod(shape),) if path.endswith("/bias") else shape
    if len(shape) == 4:
        height, width, inputs, outputs = shape
        return outputs, inputs, height, width
    axes_in = 2 if path.endswith("/out/kernel") else 1
    both = math.prod(shape[axes_in:]), math.prod(shape[:axes_in])
    is_convolution = path.startswith("pixels/") or path.endswith("/latents_out/kernel")
    return (*both, 1, 1) if is_convolution else both


def _values(file, path: str, shape: tuple[int, ...], fields, tensor) -> np.ndarray:
    """A parameter's values, from the file's tensors."""
    if path in _TABLES:
        return _table(file, path, shape, tensor)
    name, part = _origin(path, fields)
    values = layout.floats(file, name, tensor(name))
    if part is not None:
        values = np.split(values, len(layout.INPUTS))[part]
    if not path.endswith("/kernel"):
        return np.ascontiguousarray(values.reshape(shape))
    axes = (2, 3, 1, 0) if values.ndim == 4 else (1, 0)
    return np.ascontiguousarray(values.transpose(axes)).reshape(shape)


def _table(file, path: str, shape: tuple[int, ...], tensor) -> np.ndarray:
    table = np.zeros(shape, np.float32)
    for name in _TABLES[path]:
        rows = layout.floats(file, name, tensor(name)).reshape(-1, shape[1])
        if name.endswith("class_embedding"):
            table[:1] += rows
        elif name.endswith("mask_token"):
            table[1:] += rows
        else:
            table += rows
    return table
