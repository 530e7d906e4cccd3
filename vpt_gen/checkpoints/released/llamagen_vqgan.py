"""LlamaGen's tokenizer: a torch file.

Source: FoundationVision/LlamaGen `tokenizer/tokenizer_image/vq_model.py`. Unlike in Taming
Transformers, the decoder's level 0 is the lowest resolution. `quantize.codebook_used` counts codes
in training, and is ignored.
"""

import pathlib
import re
from typing import Any

from vpt_gen.checkpoints.released import layout, taming_vqgan, torch_file
from vpt_gen.nets.llamagen_vqgan import LlamaGenVQGAN

WHAT = "tokenizer of LlamaGen"
# Where a file's parameters may be; training checkpoints hold much besides.
SECTIONS = ("model", "module", "state_dict")
_UNUSED = "quantize.codebook_used"


def read(path: pathlib.Path) -> tuple[dict[str, Any], Any]:
    """Returns the fields of `nets.llamagen_vqgan.LlamaGenVQGAN` and its parameters.

    Raises:
      UserError: a missing file, or tensors that such a net does not have.
    """
    tensors = torch_file.tensors(path, SECTIONS)
    found = {name: value.shape for name, value in tensors.items() if name != _UNUSED}
    levels = layout.count(
        lambda level: any(name.startswith(f"encoder.conv_blocks.{level}.") for name in found)
    )
    return taming_vqgan.convert(
        path,
        WHAT,
        found,
        lambda name: tensors[name].read(),
        lambda module: module_name(module, levels),
        net=LlamaGenVQGAN,
    )


def module_name(path: str, levels: int) -> str:
    """'decoder/up_0_block_1/norm1' of a net of 3 levels -> 'decoder.conv_blocks.2.res.1.norm1'."""

    def level(match: re.Match[str]) -> str:
        way, number, rest = match.groups()
        place = int(number) if way == "down" else levels - 1 - int(number)
        return f"/conv_blocks/{place}/{rest}"

    path = re.sub(r"/(down|up)_(\d+)_(\w+)", level, path)
    path = re.sub(r"/(block|attn)_(\d+)", r"/\1/\2", path).replace("/block/", "/res/")
    for number, module in enumerate(("mid_block_1", "mid_attn_1", "mid_block_2")):
        path = path.replace(f"/{module}", f"/mid/{number}")
    return path.replace("/", ".")
