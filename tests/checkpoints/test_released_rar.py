"""Files of RAR and of MaskGIT's tokenizer in PyTorch: what is read, and what is named if not."""

import json

import numpy as np
import pytest

from tests import golden_rar as golden
from tests.torch_files import pickled, tensor, write_archive
from vpt_gen import nets
from vpt_gen.checkpoints import released
from vpt_gen.checkpoints.released import layout, maskgit_vqgan_torch, rar
from vpt_gen.config.repeat import flatten
from vpt_gen.errors import UserError
from vpt_gen.nets.rar import RAR
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.recipes.adaptation import folder
from vpt_gen.tables.published_nets import published_net

NET = RAR(7, 2, 4, 2, 12, 3, 8)
FIELDS = {
    name: getattr(NET, name)
    for name in ("codebook_size", "num_classes", "num_tokens", "hidden_size")
}
VQ = VQGAN(32, (1, 2), 1, 6, 9, drops_odd_edges=True)


def shapes(kind):
    if kind == "rar":
        ids = layout.token_batch(1, 4), layout.token_batch(1)
        return rar.file_shapes(FIELDS, layout.param_shapes(NET, ids[0], class_ids=ids[1]))
    ours = layout.param_shapes(VQ, layout.image_batch(4))
    named = {maskgit_vqgan_torch.file_name(name, 2, 1): shape for name, shape in ours.items()}
    return {name: (x[3], x[2], x[0], x[1]) if len(x) == 4 else x for name, x in named.items()}


def write(path, kind, **changes):
    random = np.random.default_rng(0)
    arrays = {name: random.standard_normal(x) for name, x in shapes(kind).items()} | changes
    arrays = {name: x.astype(np.float32) for name, x in arrays.items() if x is not None}
    state = {name: tensor(name, x.shape) for name, x in arrays.items()}
    return write_archive(path, pickled(state), [(n, x.tobytes()) for n, x in arrays.items()])


@pytest.mark.parametrize(("kind", "net"), [("rar", NET), ("maskgit_vqgan_torch", VQ)])
def test_sizes_come_from_the_tensors(kind, net, tmp_path):
    config, _ = released.read(kind, write(tmp_path / "a.bin", kind))
    assert nets.build(config) == net


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("rar", {"foo.weight": np.zeros(3)}, "unknown foo.weight"),
        ("rar", {"lm_head.bias": None}, "missing lm_head.bias"),
        ("rar", {"pos_embed": None}, "is not a transformer of RAR: missing pos_embed"),
        ("rar", {"pos_embed": np.zeros((1, 1029, 12))}, "has 1029 positions .pos_embed., not 1024"),
        ("rar", {"lm_head.weight": np.zeros((10, 12))}, "vocabulary of 11, too small for the 10"),
        (
            "rar",
            {"blocks.1.attn.qkv.bias": np.zeros(35)},
            r"blocks.1.attn.qkv.bias has shape \(35,\), not \(36,\)",
        ),
        (
            "rar",
            {"blocks.0.attn.q_norm.weight": np.zeros(5)},
            "should: .*blocks.0.attn.q_norm.weight has",
        ),
        ("maskgit_vqgan_torch", {"encoder.quant": np.zeros(3)}, "unknown encoder.quant"),
        ("maskgit_vqgan_torch", {"decoder.conv_in.bias": None}, "missing decoder.conv_in.bias"),
        (
            "maskgit_vqgan_torch",
            {"quantize.embedding.weight": None},
            "is not a PyTorch tokenizer of MaskGIT: missing quantize.embedding.weight",
        ),
    ],
)
def test_what_does_not_fit_is_named(kind, changes, message, tmp_path):
    with pytest.raises(UserError, match=message):
        released.read(kind, write(tmp_path / "a.bin", kind, **changes))


@pytest.mark.parametrize("kind", ["rar", "maskgit_vqgan_torch"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_named(kind, share, tmp_path):
    path = write(tmp_path / "a.bin", kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match="a.bin is not a torch file, or is incomplete .* fetch it"):
        released.read(kind, path)


@golden.needed
@pytest.mark.slow
@pytest.mark.parametrize("size", ["b", "l", "xl", "xxl"])
def test_published_sizes_have_the_numbers_of_the_files(size):
    """Those that are kept, and those that are not: a mask, and rows that no sequence reaches."""
    net = published_net(f"rar_{size}_transformer")
    ids = layout.token_batch(1, 1), layout.token_batch(1)
    fields = {name: getattr(net, name) for name in FIELDS}
    found = rar.file_shapes(fields, layout.param_shapes(net, ids[0], class_ids=ids[1]))
    files = json.loads(golden.file("published_files.json").read_text())["files"]
    (stated,) = (entry for entry in files if entry["file"] == f"rar_{size}.bin")
    assert sum(np.prod(shape) for shape in found.values()) == stated["parameters"]


def test_a_config_of_a_published_model_is_one_word():
    fields = flatten(folder("rar_l").to_dict())
    assert fields["decode.guidance_schedule"] == "powcosine2.5"
    assert (fields["decode.guidance"], fields["decode.temperature"]) == (14.5, 1.02)
