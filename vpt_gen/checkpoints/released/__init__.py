"""Readers of published weights, one file per format."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from ml_collections import ConfigDict

from vpt_gen.errors import UserError
from vpt_gen.machine import later
from vpt_gen.ranges import Count, Epsilon, range_of

with later.imports(globals()):
    from vpt_gen.checkpoints.released.biggan import read as read_biggan
    from vpt_gen.checkpoints.released.diffusers_vqgan import read as read_diffusers_vqgan
    from vpt_gen.checkpoints.released.halton_maskgit import read as read_halton_maskgit
    from vpt_gen.checkpoints.released.llamagen_gpt import read as read_llamagen_gpt
    from vpt_gen.checkpoints.released.llamagen_vqgan import read as read_llamagen_vqgan
    from vpt_gen.checkpoints.released.maskgit import read_tokenizer, read_transformer
    from vpt_gen.checkpoints.released.maskgit_vqgan_torch import read as read_maskgit_vqgan_torch
    from vpt_gen.checkpoints.released.rar import read as read_rar
    from vpt_gen.checkpoints.released.taming_gpt import read as read_taming_gpt
    from vpt_gen.checkpoints.released.taming_vqgan import read as read_taming_vqgan
    from vpt_gen.checkpoints.released.titok import read as read_titok
    from vpt_gen.checkpoints.released.titok_maskgit import read as read_titok_maskgit

# kind -> the net of `vpt_gen.nets.NETS`, its reader, and the reader's arguments besides the path.
READERS: dict[str, tuple[str, Callable[..., tuple[dict[str, Any], Any]], tuple[str, ...]]] = {
    "maskgit_tokenizer": ("vqgan", read_tokenizer, ()),
    "maskgit_transformer": ("maskgit", read_transformer, ("codebook_size",)),
    "maskgit_vqgan_torch": ("vqgan", read_maskgit_vqgan_torch, ()),
    "rar": ("rar", read_rar, ()),
    "halton_maskgit": ("halton_maskgit", read_halton_maskgit, ("num_heads",)),
    "taming_vqgan": ("taming_vqgan", read_taming_vqgan, ("resolution", "attn_resolutions")),
    "taming_gpt": ("gpt", read_taming_gpt, ("num_heads",)),
    "diffusers_vqgan": ("taming_vqgan", read_diffusers_vqgan, ("resolution", "attn_resolutions")),
    "llamagen_vqgan": ("llamagen_vqgan", read_llamagen_vqgan, ()),
    "llamagen_gpt": ("llamagen", read_llamagen_gpt, ("grid", "num_heads")),
    "titok": ("titok", read_titok, ("encoder_heads", "decoder_heads")),
    "titok_maskgit": ("titok_maskgit", read_titok_maskgit, ("num_heads",)),
    "biggan": ("biggan", read_biggan, ("bn_epsilon", "sn_epsilon")),
}

# Kinds that may also be a folder which holds the file.
_FOLDERS = ("diffusers_vqgan", "titok")


def read(kind: str, path: str | pathlib.Path, **overrides: Any) -> tuple[ConfigDict, Any]:
    """Reads a published file.

    Args:
      kind: a key of `READERS`.
      path: the file; for `diffusers_vqgan` and `titok` also the folder that holds it.
      overrides: fields that the tensors' shapes do not tell; the defaults are the published
        models'. `codebook_size` (maskgit_transformer: 1024), `num_heads` (taming_gpt and
        llamagen_gpt: one for 64 channels, or for 100 if there are 3200; halton_maskgit: that of the
        published model of the same width; titok_maskgit: 16), `encoder_heads` and `decoder_heads`
        (titok: one for 64 channels), `grid` (llamagen_gpt: side of the grid of tokens; by
        default of images of the size in the file's name), `attn_resolutions` and `resolution`
        (VQGANs of Taming Transformers: sides of the feature maps with attention, for images of that
        side; if given, they are compared with the attention in the tensors; 256), `bn_epsilon` and
        `sn_epsilon` (biggan). Any other field of the net may be given too, and is compared with the
        tensors.

    Returns:
      The net's config, for `vpt_gen.nets.build`, and its parameters as float32 NumPy arrays.

    Raises:
      UserError: an unknown kind or field, or a file that is missing, damaged or of another net.
    """
    if kind not in READERS:
        raise UserError(f"Kind {kind!r} is not known; it must be one of {', '.join(READERS)}.")
    path = pathlib.Path(path).expanduser()
    if not path.exists():
        raise UserError(f"{path} does not exist; check the path.")
    if not path.is_file() and not (path.is_dir() and kind in _FOLDERS):
        raise UserError(f"{path} is not a file; give the path of the file of weights.")
    net, reader, options = READERS[kind]
    chosen = {name: overrides.pop(name) for name in options if name in overrides}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    for name, value in chosen.items():
        _check_option(name, value)
    try:
        fields, params = reader(path, **chosen)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    for name, value in overrides.items():
        if name not in fields:
            raise UserError(f"{kind} has no field {name!r}; it has {', '.join(fields)}.")
        if fields[name] != (tuple(value) if isinstance(value, list) else value):
            raise UserError(f"{path} has {name} {fields[name]}, not {value}.")
    return ConfigDict({"net": net, **fields}), params


def _check_option(name: str, value: Any) -> None:
    if name.endswith("epsilon"):
        if value not in range_of(Epsilon):
            raise UserError(f"{name} must be a small positive number such as 1e-6, not {value!r}.")
        return
    of = range_of(Count)
    wanted = str(of)
    numbers: Sequence[Any] = [value]
    if name == "attn_resolutions":
        wanted = f"a list, and each number {of}"
        numbers = value if isinstance(value, list | tuple) else [None]
    if any(number not in of for number in numbers):
        raise UserError(f"{name} must be {wanted}, not {value!r}.")
