"""Losses and their gradients against the released ones."""

import functools
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden
from vpt_gen.training import losses, tokenizer

PROMPT = "loss.npz"
VQGAN = "tokenizer_train_losses.npz"
KINDS = golden.cases(PROMPT, r"(\w+)/loss")
LOSS_TYPES = golden.cases(VQGAN, r"disc/([\w-]+)/discriminator_loss")


def prompts_of(variables, kind: str) -> jax.Array:
    class_ids = golden.load(PROMPT, "class_ids")[:, 0]
    return golden.prompt_generator(kind)[0].apply(variables, class_ids)


def logits_at(prompts, method: str = "visual_logits") -> jax.Array:
    ids = golden.load(PROMPT, "inputs")
    return golden.run_maskgit(method, ids, prompts)[:, -ids.shape[1] :]


def loss_of(logits, smoothing: float) -> jax.Array:
    targets, weights = golden.load(PROMPT, "targets"), golden.load(PROMPT, "weights")
    return losses.masked_cross_entropy(logits, targets, weights, smoothing).mean()


def smoothing() -> float:
    return golden.config("generative_transfer_config")["label_smoothing"]


@pytest.mark.parametrize("case", golden.cases(PROMPT, r"masking/(p\d/rate\d+)/weights"))
def test_mask_tokens(case):
    variant, index = case.split("/rate")
    inputs, weights = losses.mask_tokens(
        golden.load(PROMPT, "tokens"),
        golden.load(PROMPT, f"masking/{variant}/score"),
        golden.load(PROMPT, "masking/rates")[int(index)],
    )
    golden.check(PROMPT, f"masking/{case}/masked_inputs", inputs)
    golden.check(PROMPT, f"masking/{case}/weights", weights)


def test_mask_tokens_at_a_rate_of_its_own_for_each_example():
    tokens = jnp.arange(24).reshape(4, 6)
    scores = jax.random.uniform(jax.random.key(0), (4, 6))
    inputs, weights = losses.mask_tokens(tokens, scores, jnp.array([0.0, 0.5, 0.51, 1.0]))
    np.testing.assert_array_equal(weights.sum(axis=1), [1, 3, 4, 6])
    np.testing.assert_array_equal(inputs, jnp.where(weights == 1, -1, tokens))
    highest_masked = jnp.where(weights == 1, scores, -1.0).max(axis=1)
    lowest_kept = jnp.where(weights == 1, 2.0, scores).min(axis=1)
    assert (highest_masked < lowest_kept).all()


@pytest.mark.slow
def test_draw_masks_gives_every_example_a_rate_and_places_of_its_own():
    tokens = jnp.zeros((200, 50), jnp.int32)
    inputs, weights = losses.draw_masks(jax.random.key(0), tokens, "uniform")
    np.testing.assert_array_equal(inputs, jnp.where(weights == 1, -1, tokens))
    share = weights.mean(axis=1)
    assert share.min() < 0.1 < 0.9 < share.max()
    np.testing.assert_allclose(share.mean(), 0.5, atol=0.08)
    np.testing.assert_allclose(weights.mean(axis=0), 0.5, atol=0.15)
    again, _ = losses.draw_masks(jax.random.key(0), tokens, "uniform")
    other, _ = losses.draw_masks(jax.random.key(1), tokens, "uniform")
    chex.assert_trees_all_equal(inputs, again)
    assert (inputs != other).any()


@functools.cache
def given_logits() -> tuple:
    logits = golden.load("prompt.npz", "cond_logits_sliced_h0")
    return logits, golden.load(PROMPT, "targets"), golden.load(PROMPT, "weights")


@pytest.mark.parametrize("value", golden.cases(PROMPT, r"fn_only/loss_ls(.+)"))
def test_cross_entropy_of_given_logits(value):
    loss = losses.masked_cross_entropy(*given_logits(), label_smoothing=float(value))
    golden.check(PROMPT, f"fn_only/loss_ls{value}", loss.mean())


def test_an_example_without_weight_counts_as_zero():
    logits, targets, weights = given_logits()
    weights = weights * (np.arange(len(weights)) != 1)[:, None]
    loss = losses.masked_cross_entropy(logits, targets, weights, smoothing())
    assert loss[1] == 0.0
    golden.check(PROMPT, "fn_only/loss_row1_weights_zero", loss.mean())


def test_the_first_position_has_no_weight():
    loss = losses.masked_cross_entropy(*(x[:, 1:] for x in given_logits()), smoothing())
    golden.check(PROMPT, f"fn_only/loss_ls{smoothing()}", loss.mean())


def test_with_equal_weights_it_is_the_mean_over_all_positions():
    """MaskGIT's other loss: neither weights nor smoothing, and no class token."""
    logits, targets, _ = (x[:, 1:] for x in given_logits())
    loss = losses.masked_cross_entropy(logits, targets, np.ones(targets.shape, np.float32))
    golden.check(PROMPT, "fn_only/maskgit_sequence_cross_entropy_loss_cols1on", loss.mean())


def test_targets_without_weight_do_not_matter():
    logits = jax.random.normal(jax.random.key(0), (2, 3, 5))
    weights = jnp.array([[0.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    targets = jnp.array([[0, 1, 2], [3, 4, 0]])
    other = jnp.where(weights == 0, jnp.array([-1, 5, 1000]), targets)

    def loss(logits, targets):
        return losses.masked_cross_entropy(logits, targets, weights).mean()

    gradient = jax.jit(jax.value_and_grad(loss))
    gradients = [gradient(logits, t) for t in (targets, other)]
    chex.assert_trees_all_equal(*gradients)
    chex.assert_tree_all_finite(gradients)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_prompt_tuning_loss_and_gradients(kind):
    @jax.jit
    def tune(variables):
        prompts, to_parameters = jax.vjp(lambda v: prompts_of(v, kind), variables)
        loss, at_prompts = jax.value_and_grad(lambda p: loss_of(logits_at(p), smoothing()))(prompts)
        return loss, at_prompts, to_parameters(at_prompts)[0]

    loss, at_prompts, gradient = tune(golden.prompt_generator(kind)[1])
    golden.check(PROMPT, f"{kind}/loss", loss)
    golden.check(PROMPT, f"{kind}/grad_wrt_prompts", at_prompts)
    golden.check_all(PROMPT, f"{kind}/grad", gradient)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_loss_without_smoothing_and_over_the_whole_vocabulary(kind):
    whole = logits_at(prompts_of(golden.prompt_generator(kind)[1], kind), "vocabulary_logits")
    visual = whole[..., : golden.maskgit()[0].codebook_size]
    golden.check(PROMPT, f"{kind}/loss_no_smoothing", loss_of(visual, 0.0))
    name = f"{kind}/loss_unsliced_vocab_NOT_the_reference"
    golden.check(PROMPT, name, loss_of(whole, smoothing()))


def quantizer_options(variant: str = "default") -> dict:
    """The reference's options, with the one that the variant is named for changed."""
    c = golden.config("maskgit_config")["vqvae"]
    options = {
        "commitment_cost": c["commitment_cost"],
        "entropy_ratio": c["entropy_loss_ratio"],
        "entropy_type": c["entropy_loss_type"],
        "entropy_temperature": c["entropy_temperature"],
    }
    if temperature := re.fullmatch(r"temp([\d.]+)", variant):
        return options | {"entropy_temperature": float(temperature[1])}
    changes = {
        "default": {},
        "argmax": {"entropy_type": variant},
        "no_entropy": {"entropy_ratio": 0},
    }
    return options | changes[variant]


def check_terms(prefix: str, terms: dict) -> None:
    golden.check(VQGAN, f"{prefix}/e_latent_loss", terms["commitment"])
    golden.check(VQGAN, f"{prefix}/q_latent_loss", terms["codebook"])
    golden.check(VQGAN, f"{prefix}/entropy_loss", terms.get("entropy", 0.0))
    golden.check(VQGAN, f"{prefix}/quantizer_loss", sum(terms.values()))


@pytest.mark.parametrize("variant", golden.cases(VQGAN, r"quantizer/(\w+)/quantizer_loss"))
def test_quantizer_losses_and_gradients(variant):
    latents, codebook, tokens = (
        golden.load(VQGAN, f"quantizer/{name}") for name in ("x", "codebook", "encoding_indices")
    )

    def loss(latents, codebook):
        terms = losses.quantizer_losses(latents, codebook, tokens, **quantizer_options(variant))
        return sum(terms.values()), terms

    gradients, terms = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(latents, codebook)
    check_terms(f"quantizer/{variant}", terms)
    for name, gradient in zip(("x", "codebook"), gradients, strict=True):
        golden.check(VQGAN, f"quantizer/{variant}/grad_{name}", gradient)


def test_reconstruction_error_is_the_mean_square():
    real, fake = (golden.load(VQGAN, f"disc/{name}") for name in ("real", "fake"))

    class Fixed:
        """Reconstructs every image as the same one."""

        def apply(self, variables, images):
            return fake, None, None

    options = {"image_size": 0, "adversarial_weight": 0.0, "adversarial_start": 0, "r1_cost": 0.0}
    options |= {"codebook_factor": 1.0, "reconstruction_weight": 1.0, "perceptual_weight": 0.0}
    options |= {"quantizer_start": 0}
    task = tokenizer.make_task(Fixed(), None, discriminator=None, **options)
    measured = task.eval_step({"vqgan": {}}, {}, {"image": real}, jax.random.key(0))
    golden.check(VQGAN, "pixel/l2_real_fake", measured["reconstruction"].mean())


def test_unknown_entropy_type_is_an_error():
    with pytest.raises(ValueError, match="Entropy loss type"):
        losses.entropy_loss(jnp.ones((2, 3)), "hard")


@pytest.mark.slow
def test_quantizer_losses_of_an_image():
    _, latents, tokens = golden.run_vqgan("__call__", golden.load("tokenizer.npz", "image"))
    codebook = golden.vqgan()[1]["params"]["quantizer"]["codebook"]
    check_terms("vq", losses.quantizer_losses(latents, codebook, tokens, **quantizer_options()))


def test_perplexity():
    tokens = golden.load(VQGAN, "quantizer/encoding_indices")
    codes = len(golden.load(VQGAN, "quantizer/codebook"))
    golden.check(VQGAN, "perplexity", losses.perplexity(tokens, codes))


@pytest.mark.parametrize(("tokens", "expected"), [([2, 2, 2, 2], 1.0), ([0, 1, 1, 0], 2.0)])
def test_perplexity_counts_the_codes_in_use(tokens, expected):
    np.testing.assert_allclose(losses.perplexity(jnp.array(tokens), 5), expected, rtol=1e-4)


def discriminate(variables, images):
    return golden.discriminator()[0].apply(variables, images)


@pytest.mark.slow
@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_discriminator_loss_and_gradient_norms(loss_type):
    @jax.jit
    @jax.value_and_grad
    def loss(variables, images):
        real, fake = jnp.split(discriminate(variables, images), 2)
        return losses.discriminator_loss(real, fake, loss_type)

    images = [golden.load(VQGAN, f"disc/{name}") for name in ("real", "fake")]
    value, gradient = loss(golden.discriminator()[1], np.concatenate(images))
    golden.check(VQGAN, f"disc/{loss_type}/discriminator_loss", value)
    check_norms(f"disc/{loss_type}/grad_norm", gradient)


def check_norms(prefix: str, gradient) -> None:
    golden.check_all(VQGAN, prefix, jax.tree.map(lambda x: jnp.linalg.norm(x.ravel()), gradient))


@pytest.mark.slow
@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_generator_loss_and_its_gradient_at_the_image(loss_type):
    @jax.jit
    @jax.value_and_grad
    def loss(fake):
        return losses.generator_loss(discriminate(golden.discriminator()[1], fake), loss_type)

    value, gradient = loss(golden.load(VQGAN, "disc/fake"))
    golden.check(VQGAN, f"disc/{loss_type}/generator_loss", value)
    name = f"disc/{loss_type}/generator_loss_grad_fake"
    golden.check(VQGAN, name, gradient[: len(golden.load(VQGAN, name))])


@jax.jit
@jax.value_and_grad
def penalty(variables, images, cost):
    return losses.r1_penalty(functools.partial(discriminate, variables), images, cost)


@pytest.mark.slow
@pytest.mark.parametrize("cost", golden.cases(VQGAN, r"disc/r1_penalty_cost(\d+)"))
def test_r1_penalty_and_its_gradients(cost):
    variables, images = golden.discriminator()[1], golden.load(VQGAN, "disc/real")
    value, gradient = penalty(variables, images, float(cost))
    golden.check(VQGAN, f"disc/r1_penalty_cost{cost}", value)
    if golden.find(VQGAN, f"(disc/r1_cost{cost}_grad_norm)/.+"):
        check_norms(f"disc/r1_cost{cost}_grad_norm", gradient)
    for path in golden.find(VQGAN, f"disc/r1_cost{cost}_grad/(.+)"):
        golden.check(VQGAN, f"disc/r1_cost{cost}_grad/{path}", golden.flat(gradient)[path])


@pytest.mark.slow
@pytest.mark.parametrize("number", golden.cases(VQGAN, r"disc/input_gradient_real(\d+)"))
def test_gradient_of_the_logits_at_an_image(number):
    judge = golden.discriminator()[1]
    image = golden.load(VQGAN, "disc/real")[int(number)][None]
    gradient = jax.jit(jax.grad(lambda x: discriminate(judge, x).sum()))(image)
    golden.check(VQGAN, f"disc/input_gradient_real{number}", gradient)


@pytest.mark.slow
def test_composed_generator_loss_and_gradients():
    (net, variables), (_, judge) = golden.vqgan(), golden.discriminator()
    variables, judge, image = golden.in_float64(
        (variables, judge, golden.load("tokenizer.npz", "image"))
    )
    c = golden.config("maskgit_config")["vqgan"]

    @jax.jit
    @jax.value_and_grad
    def loss(variables):
        reconstruction, latents, tokens = net.apply(variables, image)
        codebook = variables["params"]["quantizer"]["codebook"]
        terms = losses.quantizer_losses(latents, codebook, tokens, **quantizer_options())
        fooled = losses.generator_loss(discriminate(judge, reconstruction), c["loss_type"])
        return (
            jnp.mean((reconstruction - image) ** 2)
            + sum(terms.values())
            + c["g_adversarial_loss_weight"] * fooled
        )

    with jax.enable_x64(True):
        value, gradient = loss(variables)
        golden.check(VQGAN, "composed_generator/loss", value)
        check_norms("composed_generator/grad_norm", gradient)
        for path in golden.find(VQGAN, r"composed_generator/grad/(.+)"):
            golden.check(VQGAN, f"composed_generator/grad/{path}", golden.flat(gradient)[path])
