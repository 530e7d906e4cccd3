"""Halton-MaskGIT's published files: their entries here, and the shapes that the reader expects."""

import math
import re

from tests import golden_halton as golden
from vpt_gen.checkpoints.released import halton_maskgit, layout
from vpt_gen.checkpoints.released.published import BACKBONES, FILES
from vpt_gen.nets.halton_maskgit import HaltonMaskGIT
from vpt_gen.tables.published_nets import published_net

pytestmark = golden.needed


def published():
    return golden.json("published_files.json")["transformers"]


def test_golden_files_that_are_published_have_an_entry():
    ours = {file.file: (name, file) for name, file in FILES.items() if name.startswith("halton_")}
    assert ours.keys() == {file["file"] for file in published()}
    for file in published():
        name, entry = ours[file["file"]]
        assert (entry.address, entry.license) == (file["address"], file["licence"])
        assert entry.megabytes == round(file["bytes_if_only_float32_weights"] / 1e6)
        backbone = BACKBONES[name.removesuffix("_transformer")]
        assert backbone.image_size == file["image"]
        assert float(backbone.fid.split()[0]) == file["fid_reported"]
        net = published_net(name)
        assert (net.hidden_size, net.num_layers, net.num_tokens) == (
            file["dim"],
            file["layers"],
            file["grid"] ** 2,
        )
        assert (net.attention_width, net.intermediate_size) == (
            file["attention_width"],
            file["ffn_hidden"],
        )
        scale = re.search(r"cfg w = ([\d.]+)", file["sampler_of_that_fid"])
        steps = re.search(r"(\d+) steps", file["sampler_of_that_fid"])
        assert backbone.settings["decode.guidance"] == float(scale[1])
        assert backbone.settings["decode.num_iterations"] == int(steps[1])


def test_golden_shapes_of_the_published_files():
    keys = golden.json("real_size_keys.json")["transformers"]
    for file in published():
        size = re.search(r"_(\w+)\.pth", file["file"])[1].split("_")[-1]
        expected = {}
        for name, shape in keys[size]["tensors"].items():
            for i in range(keys[size]["layers"]):
                expected[name.replace("{i}", str(i))] = tuple(shape)
        expected["pos_emb.weight"] = (file["grid"] ** 2, file["dim"])
        fields = halton_maskgit._fields("a file", expected, None)
        assert fields["num_heads"] == keys[size]["heads"] == file["heads"]
        net = HaltonMaskGIT(**fields)
        assert net.attention_width == file["attention_width"]
        ours = layout.param_shapes(net, layout.token_batch(1, 1))
        found = {halton_maskgit._file_name(x): layout.torch_shape(x, s) for x, s in ours.items()}
        assert found | {"head.weight": found["tok_emb.weight"]} == expected
        assert sum(map(math.prod, ours.values())) == file["parameters"]
