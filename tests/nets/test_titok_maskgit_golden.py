"""TiTok's generators against the reference implementation: logits, losses, prompts, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden_titok as golden
from vpt_gen.decode.schedules import mask_rate
from vpt_gen.nets.transformer import MASK_TOKEN_ID
from vpt_gen.training.losses import masked_cross_entropy

pytestmark = [golden.needed, pytest.mark.slow]

kinds = pytest.mark.parametrize("kind", golden.GENERATORS)
SAMPLER = "sampler.npz"


def arrays(kind):
    return f"generator_{kind}.npz"


def inputs(kind):
    """Masked tokens as ours, and classes."""
    of = arrays(kind)
    masked = golden.load(of, "masked_tokens")
    mask_id = golden.generator(kind)[0].codebook_size
    ours = np.where(masked == mask_id, MASK_TOKEN_ID, masked)
    np.testing.assert_array_equal(ours == MASK_TOKEN_ID, golden.load(of, "mask"))
    return jnp.asarray(ours), jnp.asarray(golden.load(of, "class_ids"))


def losses(kind, logits):
    """The reference's loss, over all positions of the batch, and the project's."""
    of, config = arrays(kind), golden.json(f"generator_{kind}.config.json")["losses"]
    targets, mask = jnp.asarray(golden.load(of, "tokens")), golden.load(of, "mask")
    smoothing, unmasked = config["label_smoothing"], config["loss_weight_unmasked_token"]
    weights = jnp.where(mask, 1.0, unmasked)
    every = masked_cross_entropy(
        logits.reshape(1, -1, logits.shape[-1]),
        targets.reshape(1, -1),
        weights.reshape(1, -1),
        smoothing,
    )
    masked = masked_cross_entropy(logits, targets, jnp.asarray(mask, jnp.float32), smoothing)
    return {"reference": every[0], "masked_only": masked.mean()}


@kinds
def test_logits_and_losses(kind):
    of, net = arrays(kind), golden.generator(kind)
    tokens, classes = inputs(kind)
    logits = golden.run(net, "__call__", tokens, class_ids=classes)
    golden.check(of, "logits", logits)
    golden.check(of, "logits_dropped", golden.run(net, "__call__", tokens))
    nothing = jnp.full_like(tokens, MASK_TOKEN_ID)
    golden.check(of, "logits_all_masked", golden.run(net, "__call__", nothing, class_ids=classes))
    for name, loss in losses(kind, logits).items():
        golden.check(of, f"loss_{name}", loss)


@kinds
def test_prompts_and_their_gradients(kind):
    of, (net, variables) = arrays(kind), golden.generator(kind)
    tokens, _ = inputs(kind)
    prompts = jnp.asarray(golden.load(of, "prompts"))
    logits = golden.run((net, variables), "__call__", tokens, prompts)
    golden.check(of, "prompt_logits", logits)
    for name, loss in losses(kind, logits).items():
        golden.check(of, f"prompt_loss_{name}", loss)

    @jax.jit
    def gradients(prompts):
        def own(prompts):
            return losses(kind, net.apply(variables, tokens, prompts))

        return jax.jacrev(own)(prompts)

    for name, gradient in gradients(prompts).items():
        golden.check(of, f"prompt_grad_{name}", gradient)


@kinds
def test_one_prompt_is_the_class(kind):
    of, net = arrays(kind), golden.generator(kind)
    tokens, classes = inputs(kind)
    own = golden.run(net, "sequence", tokens, class_ids=classes)[:, :1]
    golden.check(of, "equivalent_prompt", own)
    golden.check(of, "logits", golden.run(net, "__call__", tokens, own))


@kinds
def test_stacked_layers_compute_the_same(kind):
    from vpt_gen.nets.stack import stack_layers

    of, (net, variables) = arrays(kind), golden.generator(kind)
    tokens, classes = inputs(kind)
    stacked = {"params": stack_layers(variables["params"], net.layer_prefix)}
    golden.check(of, "logits", golden.run((net, stacked), "__call__", tokens, class_ids=classes))


@kinds
def test_sizes_come_from_the_tensors(kind):
    net = golden.generator(kind)[0]
    model = golden.json(f"generator_{kind}.config.json")["model"]
    sizes = model["generator"]
    assert net.codebook_size == model["vq_model"]["codebook_size"]
    assert net.num_tokens == model["vq_model"]["num_latent_tokens"]
    assert net.num_classes == sizes["condition_num_classes"]
    assert net.hidden_size == sizes["hidden_size"]
    assert net.intermediate_size == sizes["intermediate_size"]
    assert net.long_skips == (sizes["model_type"] == "UViT")
    # The UViT has one more layer, in the middle.
    assert net.num_layers == sizes["num_hidden_layers"] + net.long_skips


def test_shares_of_masked_tokens_in_training():
    """The project draws its own masks; their rates are those of the reference."""
    u, scores = (golden.load(SAMPLER, f"train_mask_{name}") for name in ("u", "rand"))
    count = scores.shape[1]
    rates = np.asarray(mask_rate(jnp.asarray(u), count, "arccos"), np.float64)
    counts = np.maximum(1, np.rint(count * rates)).astype(np.int64)
    golden.check(SAMPLER, "train_mask_count", counts)
    golden.check(SAMPLER, "train_mask", np.argsort(scores, axis=-1) < counts[:, None])
