"""The published files of Halton-MaskGIT: what is read, and what is named if it cannot be."""

import jax
import numpy as np
import pytest

from tests.torch_files import pickled, tensor, write_archive
from vpt_gen import nets
from vpt_gen.checkpoints import released
from vpt_gen.config.repeat import flatten
from vpt_gen.errors import UserError
from vpt_gen.nets.halton_maskgit import HaltonMaskGIT
from vpt_gen.recipes.adaptation import folder

NET = HaltonMaskGIT(7, 2, 4, 2, 10, 3, 8)


def shapes():
    """The state dict of `NET`."""
    layers = {
        "mlp.1.weight": (60, 10),
        "mlp.1.bias": (60,),
        "ln1.weight": (10,),
        "attn.wq.weight": (9, 10),
        "attn.wk.weight": (9, 10),
        "attn.wv.weight": (9, 10),
        "attn.wo.weight": (10, 9),
        "ln2.weight": (10,),
        "ff.w1.weight": (8, 10),
        "ff.w2.weight": (10, 8),
        "ff.w3.weight": (8, 10),
    }
    return {
        "cls_emb.weight": (3, 10),
        "tok_emb.weight": (8, 10),
        "pos_emb.weight": (4, 10),
        **{f"transformer.layers.{i}.{name}": x for i in range(2) for name, x in layers.items()},
        "last_norm.norm_final.weight": (10,),
        "last_norm.norm_final.bias": (10,),
        "last_norm.mlp.1.weight": (20, 10),
        "last_norm.mlp.1.bias": (20,),
        "head.weight": (8, 10),
        "head.bias": (8,),
        "reg_tokens.weight": (1, 10),
    }


def tensors(**changes):
    random = np.random.default_rng(0)
    made = {name: random.standard_normal(x).astype(np.float32) for name, x in shapes().items()}
    made["head.weight"] = made["tok_emb.weight"]
    return {name: x for name, x in (made | changes).items() if x is not None}


def write(path, arrays, rest=None):
    """A checkpoint as training writes it, with an optimizer's state."""
    state = {name: tensor(name, x.shape) for name, x in arrays.items()}
    moments = {"state": {0: {"step": tensor("step", (1,)), "exp_avg": tensor("m", (2,))}}}
    content = {"iter": 5, "global_epoch": 1, "model_state_dict": state}
    content |= {"optimizer_state_dict": moments} if rest is None else rest
    storages = [(name, np.asarray(x, np.float32).tobytes()) for name, x in arrays.items()]
    storages += [("step", bytes(4)), ("m", bytes(8))]
    return write_archive(path, pickled(content), storages)


def read(tmp_path, num_heads=3, **changes):
    path = write(tmp_path / "a.pth", tensors(**changes))
    return released.read("halton_maskgit", path, num_heads=num_heads)


def test_a_file_is_read(tmp_path):
    config, params = read(tmp_path)
    assert nets.build(config) == NET
    arrays, layer = tensors(), params["layer_1"]
    weight = arrays["transformer.layers.1.attn.wq.weight"]
    np.testing.assert_array_equal(layer["attention"]["query"]["kernel"][:, 2, 1], weight[7])
    weight = arrays["transformer.layers.1.ff.w1.weight"]
    np.testing.assert_array_equal(layer["mlp"]["mlp_gate"]["kernel"], weight.T)


def test_names_of_parallel_and_compiled_training_are_read(tmp_path):
    wrapped = {f"_orig_mod.module.{name}": x for name, x in tensors().items()}
    path = write(tmp_path / "a.pth", wrapped, rest={"optimizer_state_dict": None})
    jax.tree.map(
        np.testing.assert_array_equal,
        released.read("halton_maskgit", path, num_heads=3)[1],
        read(tmp_path)[1],
    )


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"foo.weight": np.zeros(3)}, {}, "unknown foo.weight"),
        ({"head.bias": None}, {}, "missing head.bias"),
        ({"head.weight": None}, {}, "missing head.weight"),
        ({"tok_emb.weight": None}, {}, "is not a Halton-MaskGIT transformer: missing tok_emb"),
        ({"head.weight": np.zeros((8, 10))}, {}, "head.weight and tok_emb.weight differ"),
        ({"pos_emb.weight": np.zeros((5, 10))}, {}, "positions for 5 visual tokens, which form no"),
        ({"ff.extra": np.zeros(1)}, {}, "unknown ff.extra"),
        ({"module.head.bias": np.zeros(8)}, {}, "holds head.bias twice"),
        (
            {"transformer.layers.1.ln2.weight": np.zeros(11)},
            {},
            r"transformer.layers.1.ln2.weight has shape \(11,\), not \(10,\)",
        ),
        ({}, {"num_heads": None}, "has width 10; the published models have 384.* Set num_heads"),
        (
            {},
            {"num_heads": 4},
            "attention of width 9, but 4 heads in width 10 have 8: set num_heads",
        ),
        ({}, {"num_heads": 11}, "attention of width 9, but 11 heads in width 10 have 0"),
    ],
)
def test_what_does_not_fit_is_named(changes, options, message, tmp_path):
    with pytest.raises(UserError, match=message):
        read(tmp_path, **{**changes, **options})


def test_the_grid_may_be_compared(tmp_path):
    path = write(tmp_path / "a.pth", tensors())
    released.read("halton_maskgit", path, num_heads=3, num_tokens=4)
    with pytest.raises(UserError, match="has num_tokens 4, not 9"):
        released.read("halton_maskgit", path, num_heads=3, num_tokens=9)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_named(share, tmp_path):
    path = write(tmp_path / "a.pth", tensors())
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match="a.pth is not a torch file, or is incomplete .* fetch it"):
        released.read("halton_maskgit", path, num_heads=3)


def test_a_config_of_a_small_model_is_one_word():
    fields = flatten(folder("halton_tiny").to_dict())
    assert fields["decode.decoder"] == "halton_released"
    assert (fields["decode.guidance"], fields["mask_schedule"]) == (1.5, "arccos")
    assert fields["prompt.vector"]
