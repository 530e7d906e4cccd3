"""BigGAN's nets against reference numbers, in both modes; spectral and batch norm by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden_gan as golden
from tests.random_params import random_gan
from vpt_gen.nets.biggan import (
    Discriminator,
    Generator,
    run,
    standing_statistics,
)
from vpt_gen.nets.conditional_norm import BatchNorm
from vpt_gen.nets.spectral_norm import SNDense

pytestmark = pytest.mark.slow

FILE = "biggan.npz"


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def nets(file: str = FILE, suffix: str = ""):
    """The nets, and their variables in float64."""
    return golden.net(file), {
        name: golden.float64(golden.variables(golden.state_dict(f"{name}{suffix}.pth")))
        for name in ("generator", "discriminator")
    }


def inputs(file: str = FILE) -> dict[str, np.ndarray]:
    found = golden.float64(golden.group(file, "in/"))
    return found | {"x": golden.to_unit(found["x"])}


def trained(net):
    """`run` of a net, as one program."""
    return jax.jit(functools.partial(run, net))


@golden.needed
@pytest.mark.parametrize(("file", "suffix"), [(FILE, ""), ("biggan128.npz", "128")])
def test_eval_mode(file, suffix, float64):
    net, variables = nets(file, suffix)
    given = inputs(file)
    images = jax.jit(net.generator.apply)(variables["generator"], given["z"], given["y"])
    golden.assert_near(images, golden.to_unit(golden.load(file, "eval/images")), "images")
    judge = jax.jit(net.discriminator.apply)
    for name, x, y in (("fake", images, given["y"]), ("real", given["x"], given["dy"])):
        logits = judge(variables["discriminator"], x, y)
        golden.assert_near(logits, golden.load(file, f"eval/D_logits_{name}"), name)


@golden.needed
def test_eval_mode_in_float32():
    net, given = golden.net(FILE), golden.group(FILE, "in/")
    generator = golden.variables(golden.state_dict("generator.pth"))
    images = jax.jit(net.generator.apply)(
        generator, given["z"].astype(np.float32), given["y"].astype(np.int32)
    )
    assert images.dtype == jnp.float32
    # The manifest's 2e-5 is of images in [-1, 1].
    golden.assert_near(images, golden.to_unit(golden.load(FILE, "eval/images")), "images", 1e-5)


@golden.needed
def test_features_in_eval_mode(float64):
    net, variables = nets()
    given = inputs()
    _, of_generator = golden.captured(net.generator, variables["generator"], given["z"], given["y"])
    _, of_discriminator = golden.captured(
        net.discriminator, variables["discriminator"], given["x"], given["dy"]
    )
    found = {
        "G": golden.flat(of_generator["intermediates"]),
        "D": golden.flat(of_discriminator["intermediates"]),
    }
    features = golden.group(FILE, "eval/feat/")
    if not features:
        golden.lacks(f"{FILE} lacks features")
    for name, expected in features.items():
        side, module = name.split(".", 1)
        _, path = golden.our_name(f"{module}.leaf")
        (value,) = found[side][path.removesuffix("leaf") + "__call__"]
        if expected.ndim == 4:
            value, expected = value[: len(expected)], golden.nhwc(expected)
        golden.assert_near(value, expected, name)


@golden.needed
def test_shared_embedding_takes_the_place_of_classes(float64):
    net, variables = nets()
    if not net.shared:
        pytest.skip("the folder's generator has a table for each normalization")
    given = inputs()
    embedding = variables["generator"]["params"]["shared"]["embedding"][given["y"]]
    golden.assert_near(embedding, golden.load(FILE, "eval/shared_embedding"), "embedding")
    draw = jax.jit(net.generator.apply)
    images = draw(variables["generator"], given["z"], embedding=embedding)
    golden.assert_near(images, golden.to_unit(golden.load(FILE, "eval/images")), "images")


@golden.needed
def test_train_mode_and_what_it_moves(float64):
    net, variables = nets()
    given = inputs()
    images, moved = trained(net.generator)(variables["generator"], given["z"], given["y"])
    golden.assert_near(images, golden.to_unit(golden.load(FILE, "train/images")), "images")
    golden.check_variables(moved, golden.group(FILE, "train/G_buffers_after/"))
    judge = trained(net.discriminator)
    logits, moved = judge(variables["discriminator"], images, given["y"])
    golden.assert_near(logits, golden.load(FILE, "train/D_logits_fake"), "fake")
    golden.check_variables(moved, golden.group(FILE, "train/D_buffers_after1/"))
    logits, _ = judge(moved, given["x"], given["dy"])
    golden.assert_near(logits, golden.load(FILE, "train/D_logits_real_second_call"), "real")


@golden.needed
def test_sigma_in_eval_mode_is_of_a_fresh_iteration(float64):
    net, variables = nets()
    given = inputs()
    _, generator = trained(net.generator)(variables["generator"], given["z"], given["y"])
    judge = trained(net.discriminator)
    _, discriminator = judge(variables["discriminator"], given["x"], given["dy"])
    moved = {"G": generator, "D": discriminator}
    for name, sigma in golden.group(FILE, "eval/sn/").items():
        side, module = name.removesuffix("/sigma").split(".", 1)
        _, path = golden.our_name(f"{module}.sv0")
        golden.assert_near(golden.flat(moved[side]["spectral"])[path], sigma, name)


@golden.needed
def test_standing_statistics(float64):
    net, variables = nets()
    given = inputs()
    sums = golden.group(FILE, "standing/buffers/")
    count = int(next(v[0] for n, v in sums.items() if n.endswith("accumulation_counter")))
    steps = golden.float64(golden.group(FILE, "steps/in/"))
    standing = standing_statistics(
        net.generator,
        variables["generator"],
        ({"z": steps["z"][i], "class_ids": steps["y"][i]} for i in range(count)),
    )
    stored = {
        name.replace(".bn.", "."): value / count
        for name, value in sums.items()
        if not name.endswith("accumulation_counter")
    }
    golden.check_variables(standing, stored)
    images = net.generator.apply(standing, given["z"], given["y"])
    golden.assert_near(images, golden.to_unit(golden.load(FILE, "standing/images")), "images")


@golden.needed
def test_published_sizes():
    made = jax.eval_shape(golden.published().init, jax.random.key(0))
    for side, name in (("G", "generator"), ("D", "discriminator")):
        part = golden.real_size("biggan")[side]
        assert golden.shapes(made[name]) == golden.shapes_of_reference(part["shapes"])
        counted = sum(leaf.size for leaf in jax.tree.leaves(made[name]["params"]))
        assert counted == part["n_parameters"]


def small_generator(**changes) -> Generator:
    fields = {"resolution": 32, "channels": 2, "z_size": 9, "shared_size": 4, "attention": ()}
    return Generator(3, **(fields | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"hierarchical": False},
        {"hierarchical": False, "shared": False},
        {"channels": 8, "attention": (8, 32)},
    ],
)
def test_options_of_the_generator(changes):
    net = small_generator(**changes)
    z = jax.random.normal(jax.random.key(1), (3, net.latent_size))
    variables = random_gan(net.init, z, jnp.arange(3))
    draw = jax.jit(net.apply)
    images = draw(variables, z, jnp.arange(3))
    assert images.shape == (3, 32, 32, 3)
    assert ((images > 0.0) & (images < 1.0)).all()
    assert ("shared" in variables["params"]) == net.shared
    names = {name for name in variables["params"] if name.startswith("attention")}
    assert len(names) == len(net.attention)
    other = draw(variables, z, (jnp.arange(3) + 1) % 3)
    assert not np.allclose(images, other, atol=1e-4)


def test_latents_are_cut_to_whole_parts():
    net = small_generator(z_size=11)
    assert (net.part_size, net.latent_size) == (2, 8)


def test_a_discriminator_without_classes():
    net = Discriminator(0, 32, channels=2, attention=())
    images = jnp.zeros((2, 32, 32, 3))
    variables = random_gan(net.init, images)
    assert "embed" not in variables["params"]
    assert jax.eval_shape(net.apply, variables, images).shape == (2, 1)


def test_hierarchy_without_shared_embedding_is_an_error():
    net = small_generator(shared=False)
    with pytest.raises(ValueError, match="need a shared"):
        net.init(jax.random.key(0), jnp.zeros((1, 8)), jnp.zeros(1, jnp.int32))


def test_sigma_becomes_the_largest_singular_value():
    net = SNDense(5, use_bias=False, kernel_init=jax.nn.initializers.normal(1.0))
    x = jnp.eye(7)
    variables = net.init(jax.random.key(0), x)
    for _ in range(100):
        weight, variables = run(net, variables, x)
    largest = np.linalg.svd(variables["params"]["kernel"], compute_uv=False)[0]
    np.testing.assert_allclose(variables["spectral"]["sigma"], largest, rtol=1e-4)
    np.testing.assert_allclose(weight, variables["params"]["kernel"] / largest, rtol=1e-3)


def test_without_training_nothing_moves():
    net = small_generator()
    z = jnp.ones((2, net.latent_size))
    variables = random_gan(net.init, z, jnp.arange(2))
    move = jax.jit(functools.partial(net.apply, mutable=["batch_stats", "spectral"]))
    _, moved = move(variables, z, jnp.arange(2))
    before = {name: variables[name] for name in moved}
    jax.tree.map(np.testing.assert_array_equal, moved, before)


def test_running_variance_is_unbiased():
    x = jax.random.normal(jax.random.key(0), (2, 2, 2, 3)) * 3.0 + 1.0
    net = BatchNorm()
    variables = net.init(jax.random.key(0), x)
    y, moved = run(net, variables, x)
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0.0, atol=1e-6)
    np.testing.assert_allclose(y.var((0, 1, 2)), 1.0, rtol=1e-4)
    rows = np.asarray(x).reshape(-1, 3)
    expected = 0.9 + 0.1 * rows.var(0, ddof=1)
    np.testing.assert_allclose(moved["batch_stats"]["var"], expected, rtol=1e-5)
    np.testing.assert_allclose(moved["batch_stats"]["mean"], 0.1 * rows.mean(0), rtol=1e-4)
