"""MineGAN's miner, and the source's nets around it, against reference numbers."""

import jax
import pytest

from tests import golden_gan as golden
from tests.methods.test_minegan import FILE, variables
from vpt_gen.methods import minegan
from vpt_gen.nets.biggan import run

pytestmark = pytest.mark.slow


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


@golden.needed
def test_eval_mode(float64):
    source, params = golden.net(FILE), variables()
    given = golden.float64(golden.group(FILE, "in/"))
    miner = minegan.make_miner(source.generator)
    z, embedding = miner.apply(params["miner"], given["z"])
    golden.assert_near(z, golden.load(FILE, "eval/z_from_M"), "z")
    golden.assert_near(embedding, golden.load(FILE, "eval/y_from_M"), "y")
    mined = minegan.mine(source, params, given["z"])
    images = source.generator.apply(params["generator"], **mined)
    golden.assert_near(images, golden.to_unit(golden.load(FILE, "eval/images")), "images")
    judge = source.discriminator_of(0)
    for name, x in (("fake", images), ("real", golden.to_unit(given["x"]))):
        logits = judge.apply(params["discriminator"], x)
        golden.assert_near(logits, golden.load(FILE, f"eval/D_logits_{name}"), name)


@golden.needed
def test_train_mode_and_what_it_moves(float64):
    source, params = golden.net(FILE), variables()
    given = golden.float64(golden.group(FILE, "in/"))
    (z, embedding), moved = run(minegan.make_miner(source.generator), params["miner"], given["z"])
    golden.assert_near(z, golden.load(FILE, "train/z_from_M"), "z")
    golden.assert_near(embedding, golden.load(FILE, "train/y_from_M"), "y")
    golden.check_variables(moved, golden.group(FILE, "train/M_buffers_after/"))
    images, _ = run(source.generator, params["generator"], z, embedding=embedding)
    golden.assert_near(images, golden.to_unit(golden.load(FILE, "train/images")), "images")


@golden.needed
def test_published_size():
    miner = minegan.make_miner(golden.published().generator)
    made = jax.eval_shape(
        lambda: miner.init(jax.random.key(0), jax.numpy.zeros((1, miner.latent_size)))
    )
    tensors = golden.without("shared", golden.real_size("minegan_miner")["M"]["shapes"])
    assert golden.shapes(made) == golden.shapes_of_reference(tensors)
