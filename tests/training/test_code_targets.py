"""A TiTok that predicts a VQGAN's codes: it learns, the VQGAN in it stays, and pixels follow."""

import functools

import chex
import jax
import numpy as np
import optax
import pytest

from tests import made
from vpt_gen.nets.titok import TiTok
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.training import code_targets

VQGAN_NET = VQGAN(32, (1, 1), 1, 8, 16)
FIELDS = {
    "image_size": 8,
    "patch_size": 2,
    "num_tokens": 6,
    "embedding_dim": 4,
    "codebook_size": 8,
    "encoder_width": 16,
    "encoder_layers": 1,
    "encoder_heads": 2,
    "decoder_width": 16,
    "decoder_layers": 1,
    "decoder_heads": 2,
    "pixel_codes": 16,
    "pixel_dim": 8,
    "filters": 32,
    "channel_multipliers": (1, 1),
    "num_res_blocks": 1,
}
NET = TiTok(**FIELDS)


@pytest.fixture(scope="module")
def batch():
    return {"image": jax.random.uniform(jax.random.key(0), (8, 8, 8, 3))}


@pytest.fixture(scope="module")
def vqgan_params(batch):
    return made.new_params(VQGAN_NET, batch["image"], seed=1)


def make_task(vqgan_params, quantizer_start=0):
    optimizer = optax.adamw(1e-2, weight_decay=0.1)
    return code_targets.make_task(
        NET,
        VQGAN_NET,
        vqgan_params,
        optimizer,
        codebook_factor=1.0,
        quantizer_start=quantizer_start,
    )


@pytest.fixture(scope="module")
def trained(batch, vqgan_params):
    """The task, its first state, its last, and the cross-entropies."""
    task = make_task(vqgan_params)
    first = state = jax.jit(task.init)(jax.random.key(2))
    step, found = jax.jit(task.train_step), []
    for number in range(40):
        state, metrics = step(state, task.frozen, batch, jax.random.key(number))
        found.append(float(metrics["codes"]))
    return task, first, state, found


@pytest.mark.slow
def test_it_learns_the_codes(trained, batch):
    task, _, state, found = trained
    assert found[0] == pytest.approx(np.log(16), abs=0.5)
    assert found[-1] < found[0] - 0.5
    metrics = jax.jit(task.eval_step)(state.params, task.frozen, batch, jax.random.key(0))
    assert metrics["codes"].shape == (8,)
    assert metrics["accuracy"].mean() > 1.5 / 16


@pytest.mark.slow
def test_the_vqgan_in_it_stays_and_all_else_moves(trained, vqgan_params):
    _, first, state, _ = trained
    before, after = dict(first.params["vqgan"]), dict(state.params["vqgan"])
    pixels, moved = before.pop("pixels"), after.pop("pixels")
    for name in ("quantizer", "decoder"):
        chex.assert_trees_all_equal(moved[name], vqgan_params[name])
    for name in ("hidden", "code_logits"):
        assert not np.array_equal(pixels[name]["kernel"], moved[name]["kernel"])
    for name in ("encoder", "quantizer", "decoder"):
        leaves = zip(jax.tree.leaves(before[name]), jax.tree.leaves(after[name]), strict=True)
        assert not any(np.array_equal(old, new) for old, new in leaves if old.ndim > 1), name


@pytest.mark.slow
def test_certain_predictions_give_the_images_of_the_vqgan(batch, vqgan_params, trained):
    _, _, state, _ = trained
    apply = jax.jit(VQGAN_NET.apply, static_argnames="method")
    tokens = apply({"params": vqgan_params}, batch["image"], method="tokenize")
    wanted = apply({"params": vqgan_params}, tokens, method="detokenize")
    certain = 1e4 * jax.nn.one_hot(tokens, 16)
    pixels = state.params["vqgan"]["pixels"]

    def decode(net, logits):
        return net.pixels.decoder(jax.nn.softmax(logits) @ net.pixels.quantizer.codebook)

    found = jax.jit(functools.partial(NET.apply, method=decode))(
        {"params": {"pixels": pixels}}, certain
    )
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.slow
def test_quantization_begins_with_latents_as_the_codebook(batch, vqgan_params):
    task = make_task(vqgan_params, quantizer_start=2)
    step = jax.jit(task.train_step)
    states = [jax.jit(task.init)(jax.random.key(2))]
    metrics = []
    for number in range(3):
        state, found = step(states[-1], task.frozen, batch, jax.random.key(number))
        states.append(state)
        metrics.append(found)
    assert [float(m["commitment"]) > 0 for m in metrics] == [False, False, True]
    encode = jax.jit(functools.partial(NET.apply, method="encode"))
    latents = encode({"params": states[1].params["vqgan"]}, batch["image"])
    drawn = states[2].params["vqgan"]["quantizer"]["codebook"]
    distances = np.abs(NET.comparable(latents).reshape(-1, 1, drawn.shape[1]) - drawn).max(-1)
    assert distances.min(0).max() < 1e-5


def test_fields_that_do_not_fit_the_vqgan_are_named():
    assert not code_targets.mismatch(NET, VQGAN_NET)
    other = NET.clone(pixel_codes=4, patch_size=4)
    assert code_targets.mismatch(other, VQGAN_NET) == {"patch_size": 2, "pixel_codes": 16}
