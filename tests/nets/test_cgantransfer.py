"""cGANTransfer's nets against reference numbers, and what they begin as."""

import functools

import jax
import numpy as np
import pytest

from tests import golden_gan as golden
from vpt_gen.nets.biggan import run
from vpt_gen.nets.cgantransfer import (
    init_discriminator,
    init_generator,
    transfer_generator,
)

pytestmark = pytest.mark.slow

FILE = "cgantransfer.npz"


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def nets():
    """Both nets, and their variables in float64, without what no pass reads."""
    source, c = golden.transfer_source(FILE), golden.facts(FILE)["config"]
    tensors = golden.unused_by_transfer(golden.state_dict("cgantransfer_G.pth"))
    return (
        transfer_generator(source.generator, c["n_classes"]),
        source.discriminator_of(c["n_classes"]),
        golden.float64(golden.variables(tensors)),
        golden.float64(golden.variables(golden.state_dict("cgantransfer_D.pth"))),
    )


def inputs() -> dict[str, np.ndarray]:
    found = golden.float64(golden.group(FILE, "in/"))
    return found | {"x": golden.to_unit(found["x"])}


@golden.needed
def test_eval_mode(float64):
    net, judge, variables, judge_variables = nets()
    given = inputs()
    images, captured = golden.captured(net, variables, given["z"], given["y"])
    golden.assert_near(images, golden.to_unit(golden.load(FILE, "eval/images")), "images")
    logits_of = jax.jit(judge.apply)
    for name, x, y in (("fake", images, given["y"]), ("real", given["x"], given["dy"])):
        logits = logits_of(judge_variables, x, y)
        golden.assert_near(logits, golden.load(FILE, f"eval/D_logits_{name}"), name)
    found = golden.flat(captured["intermediates"])

    def output(norm: str, layer: str):
        _, path = golden.our_name(f"{norm}.{layer}.leaf")
        return found[path.removesuffix("leaf") + "__call__"][0]

    for name, expected in golden.group(FILE, "eval/ccbn_terms/").items():
        golden.assert_near(output(*name.split("/")), expected, name)
    for name, expected in golden.group(FILE, "eval/ccbn/").items():
        norm, what = name.split("/")
        if what.startswith("w_"):
            value = output(norm, f"comb_layer_{what[-1]}")
        else:
            layers = ("prev_knowledge", "z_layer", "res")
            value = sum(output(norm, f"{layer}_{what[0]}") for layer in layers)
            value += float(what == "gain")
        golden.assert_near(value, expected, name)


@golden.needed
def test_train_mode_and_what_it_moves(float64):
    net, _, variables, _ = nets()
    given = inputs()
    images, moved = jax.jit(functools.partial(run, net))(variables, given["z"], given["y"])
    golden.assert_near(images, golden.to_unit(golden.load(FILE, "train/images")), "images")
    after = golden.unused_by_transfer(golden.group(FILE, "train/G_buffers_after/"))
    golden.check_variables(moved, after)


@pytest.fixture(scope="module")
def begun():
    """The source's variables, and what the generator begins with, in float64."""
    source, c = golden.transfer_source(FILE), golden.facts(FILE)["config"]
    net = transfer_generator(source.generator, c["n_classes"])
    with jax.enable_x64(True):
        of_source = golden.float64(golden.variables(golden.state_dict("generator.pth")))
        made = jax.jit(lambda v: init_generator(net, v, jax.random.key(0)))(of_source)
        return of_source, jax.device_get(made)


@golden.needed
def test_begins_with_what_the_source_knows(begun):
    of_source, made = begun
    loaded = golden.group(FILE, "loaded/")
    taken = {n: x for n, x in loaded.items() if n.endswith(("_g.weight", "_b.weight"))}
    drawn = {n for n in taken if "comb_layer" in n or ".res_" in n}
    golden.check_variables(made, {n: x for n, x in taken.items() if n not in drawn})
    assert drawn
    for name in drawn:
        ours = golden.flat(made["params"])[golden.our_name(name)[1]]
        # Both are orthogonal: of one shape, and with the same products of columns or rows.
        expected = golden.our_value(name, taken[name])
        assert ours.shape == expected.shape
        for matrix in (np.asarray(ours), expected):
            small = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
            np.testing.assert_allclose(small @ small.T, np.eye(len(small)), atol=1e-5)
    for name in ("linear/kernel", "block_0/conv1/kernel", "output_norm/gain"):
        np.testing.assert_array_equal(
            golden.flat(made["params"])[name], golden.flat(of_source["params"])[name]
        )


@golden.needed
def test_shapes_of_everything_loaded(begun):
    made = begun[1]
    for name, value in golden.group(FILE, "loaded/").items():
        collection, path = golden.our_name(name)
        ours = golden.flat(made[collection])[path]
        assert ours.shape == golden.our_value(name, value).shape
        if name.endswith("sv0"):
            assert ours == value == 1.0


@golden.needed
def test_published_sizes():
    source, sizes = golden.published(), golden.real_size("cgantransfer")
    new = sizes["G"]["shapes"]["blocks.0.0.bn1.comb_layer_g.weight"][1]
    key = jax.random.key(0)
    variables = jax.eval_shape(source.init, key)
    made = {
        "G": jax.eval_shape(
            lambda v: init_generator(transfer_generator(source.generator, new), v, key),
            variables["generator"],
        ),
        "D": jax.eval_shape(
            lambda v: init_discriminator(source.discriminator_of(new), v, key),
            variables["discriminator"],
        ),
    }
    for side in sizes.keys() & made.keys():
        tensors = golden.unused_by_transfer(sizes[side]["shapes"])
        assert golden.shapes(made[side]) == golden.shapes_of_reference(tensors)
