"""A third transformer, defined here alone, goes through everything once `nets.NETS` has it.

Unlike MaskGIT it norms before its layers, adds the class to every position, and has no position
before the visual tokens: decoders work on these alone, and none that keeps a cache suits it.
"""

import functools
import json

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from tests import made
from tests.programs import opened, train
from tests.report.pages import read
from vpt_gen.checkpoints.backbone import load_net
from vpt_gen.config import default_config
from vpt_gen.config.fields import TRANSFORMER_METHODS
from vpt_gen.errors import UserError
from vpt_gen.nets import NETS
from vpt_gen.nets.additions import Adapter, class_rows
from vpt_gen.nets.attention import SelfAttention
from vpt_gen.nets.layers import Dense
from vpt_gen.nets.transformer import (
    MASK_TOKEN_ID,
    NO_CLASS,
    LayerParts,
    MaskedTransformer,
    Matrix,
    rows_modulo,
)
from vpt_gen.report.document import make_page
from vpt_gen.runs.generation import plain_generation
from vpt_gen.runs.samples import draw

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("registered")]

# Measures and pages ask a net the same things of every method that has no prompts.
MEASURED = ("prompts", "lora")

_init = nn.initializers.normal(0.02)


class Layer(nn.Module):
    num_heads: int
    intermediate_size: int

    @nn.compact
    def __call__(self, x):
        attention = SelfAttention(self.num_heads, 0.0, _init, name="attention")
        attended, _ = attention(nn.LayerNorm(name="attention_ln")(x), True)
        x = x + Adapter(name="attention_adapter")(attended)
        hidden = Dense(self.intermediate_size, _init, name="mlp_in")(nn.LayerNorm(name="mlp_ln")(x))
        output = Dense(x.shape[-1], _init, name="mlp_out")(nn.gelu(hidden))
        return x + Adapter(name="mlp_adapter")(output)


class Third(MaskedTransformer, nn.Module):
    """The vocabulary is K visual tokens, C classes, the mask, and no class."""

    title = "Third"
    layer_prefix = "layer_"
    parts = LayerParts(
        matrices={
            **{name: Matrix(("attention", name)) for name in ("query", "key", "value")},
            "out": Matrix(("attention", "out"), axes_in=2),
            "mlp_in": Matrix(("mlp_in",)),
            "mlp_out": Matrix(("mlp_out",)),
        },
        attention_adapter=("attention_adapter",),
        mlp_adapter=("mlp_adapter",),
        prefix=("attention", "prefix"),
    )

    codebook_size: int = 16
    num_classes: int = 2
    num_tokens: int = 16
    num_layers: int = 2
    hidden_size: int = 16
    num_heads: int = 2
    intermediate_size: int = 32
    remat: str = "none"

    @nn.nowrap
    def class_starts(self, params, num_classes):
        table = params["token_embeddings"]["embedding"]
        return rows_modulo(table, self.codebook_size, self.num_classes, num_classes)

    @nn.compact
    def __call__(self, tokens, prompts=None, class_ids=None, deterministic=True):
        masked, no_class = (self.codebook_size + self.num_classes + i for i in range(2))
        size = (no_class + 1, self.hidden_size)
        embed = nn.Embed(*size, embedding_init=_init, name="token_embeddings")
        positions = nn.Embed(
            self.num_tokens, self.hidden_size, embedding_init=_init, name="position_embeddings"
        )
        x = embed(jnp.where(tokens == MASK_TOKEN_ID, masked, tokens))
        x = x + positions(jnp.arange(tokens.shape[1]))
        if prompts is None:
            ids = jnp.full(len(tokens), NO_CLASS) if class_ids is None else class_ids
            own = embed(jnp.where(ids == NO_CLASS, no_class, self.codebook_size + ids))
            added = class_rows(self, ids)
            if added is not None:
                own = jnp.where((ids == NO_CLASS)[:, None], own, added)
            x = x + own[:, None]
        else:
            x = jnp.concatenate([prompts, x], axis=1)
        for number in range(self.num_layers):
            layer = Layer(self.num_heads, self.intermediate_size, name=f"layer_{number}")
            x = layer(x)
        x = nn.LayerNorm(name="final_ln")(x[:, -tokens.shape[1] :])
        return Dense(self.codebook_size, _init, name="head")(x)


@pytest.fixture(scope="module")
def registered():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETS, "third", Third)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return made.write_folder(tmp_path_factory.mktemp("data") / "shapes", side=32)


@pytest.fixture(scope="module")
def make_config(data, tiny_nets, tmp_path_factory):
    """The config of a task, which shares its tokens with the others."""
    cache = tmp_path_factory.mktemp("tokens")

    def make(task, net=""):
        config = made.shared(default_config(task, "nar", net), data)
        config.eval_every = 0
        config.data.image_size = 32
        config.data.cache_dir = str(cache)
        config.backbone.tokenizer = str(tiny_nets / "vqgan")
        return config

    return make


@pytest.fixture(scope="module")
def transformer(make_config, registered, tmp_path_factory):
    config = make_config("transformer", "third")
    config.model.num_layers = 1
    workdir = tmp_path_factory.mktemp("transformer")
    train(config, workdir)
    return workdir / "net"


@pytest.fixture(scope="module")
def tuned(make_config, transformer, tmp_path_factory):
    """The workdir of a method's run."""

    @functools.cache
    def run(method, **decode):
        config = make_config(method)
        config.backbone.transformer = str(transformer)
        config.decode.update({"batch_size": 4, "num_iterations": 2, **decode})
        if method == "prompts_lora":
            config.prompts_lora.prompt_steps = 1
        if method in MEASURED:
            config.evaluation.num_samples = 4
            config.evaluation.baselines = False
        workdir = tmp_path_factory.mktemp(method)
        train(config, workdir)
        return workdir

    return run


def test_it_is_pretrained_by_its_name_in_the_config(transformer):
    net = load_net(transformer, "third")
    assert net.net == Third(256, 2, 64, num_layers=1)
    assert net.about["config"]["model"] == {
        "net": "third",
        "num_layers": 1,
        "hidden_size": 16,
        "num_heads": 2,
        "intermediate_size": 32,
    }


@pytest.mark.parametrize("method", TRANSFORMER_METHODS)
def test_every_method_tunes_and_samples_it(method, tuned):
    run = opened(tuned(method))
    images = plain_generation(run, np.array([0, 1, 1]), seed=0).samples().images
    assert images.shape == (3, 32, 32, 3)
    assert ("class_embeddings" in run.params) == (method not in ("prompts", "prompts_lora"))


@pytest.mark.parametrize("method", MEASURED)
def test_it_is_measured_and_has_a_page(method, tuned):
    figures = json.loads((tuned(method) / "metrics.json").read_text())["figures"]
    assert np.isfinite(figures["frechet"]["value"])
    page = read(make_page(opened(tuned(method)), num=2, seed=0, compared={}))
    assert "NAR (Third)" in "".join(page.text)


@pytest.mark.parametrize("decoder", ["confidence", "halton"])
def test_guidance_and_a_marquee_of_prompts(decoder, tuned):
    run = opened(tuned("prompts"), decode=[f"decoder={decoder}", "guidance=1.0"])
    bank = np.array([[[1, -1], [0, -1]], [[0, -1], [0, -1]]])
    weights = np.array([[1.0, 0.0], [0.0, 1.0]])
    samples = draw(run.sampler, run.params, bank, 0, weights)
    assert samples.tokens.min() >= 0


def test_a_decoder_that_does_not_suit_it_is_named(tuned):
    with pytest.raises(UserError, match="'frontier', which does not work with the Third in"):
        tuned("prompts", decoder="frontier")
