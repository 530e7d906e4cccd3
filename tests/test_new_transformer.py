"""A third transformer, defined here alone, goes through everything once `nets.NETS` has it.

Unlike MaskGIT it norms before its layers, adds the class to every position, and has no position
before the visual tokens: decoders work on these alone, and none that keeps a cache suits it.
"""

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

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("registered")]

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
    return made.write_folder(tmp_path_factory.mktemp("data") / "shapes", side=16)


@pytest.fixture(scope="module")
def tokenizer(data, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("tokenizer")
    train(made.tokenizer_config(data), workdir)
    return workdir / "net"


@pytest.fixture(scope="module")
def transformer(data, tokenizer, registered, tmp_path_factory):
    config = made.shared(default_config("transformer", "nar", "third"), data)
    config.backbone.tokenizer = str(tokenizer)
    workdir = tmp_path_factory.mktemp("transformer")
    train(config, workdir)
    return workdir / "net"


def method_config(method, data, tokenizer, transformer):
    config = made.shared(default_config(method), data)
    config.data.cache_dir = str(data.parent / "tokens")
    config.backbone.tokenizer = str(tokenizer)
    config.backbone.transformer = str(transformer)
    config.decode.batch_size = 4
    config.decode.num_iterations = 2
    if method == "prompts_lora":
        config.prompts_lora.prompt_steps = 1
    return config


def test_it_is_pretrained_by_its_name_in_the_config(transformer):
    net = load_net(transformer, "third")
    assert net.net == Third(net.net.codebook_size, 2, 16)
    assert net.about["config"]["model"] == {
        "net": "third",
        "num_layers": 2,
        "hidden_size": 16,
        "num_heads": 2,
        "intermediate_size": 32,
    }


@pytest.mark.parametrize("method", TRANSFORMER_METHODS)
def test_every_method_tunes_and_samples_it(method, data, tokenizer, transformer, tmp_path):
    config = method_config(method, data, tokenizer, transformer)
    config.evaluation.num_samples = 4
    config.evaluation.baselines = False
    train(config, tmp_path)
    figures = json.loads((tmp_path / "metrics.json").read_text())["figures"]
    assert np.isfinite(figures["frechet"]["value"])
    run = opened(tmp_path)
    images = plain_generation(run, np.array([0, 1, 1]), seed=0).samples().images
    assert images.shape == (3, 16, 16, 3)
    # Pages ask a net the same things of every method that has no prompts.
    if method in ("prompts", "lora"):
        page = read(make_page(run, num=2, seed=0, compared={}))
        assert "NAR (Third)" in "".join(page.text)


@pytest.mark.parametrize("decoder", ["confidence", "halton"])
def test_guidance_and_a_marquee_of_prompts(decoder, data, tokenizer, transformer, tmp_path):
    config = method_config("prompts", data, tokenizer, transformer)
    config.decode.update({"decoder": decoder, "guidance": 1.0})
    train(config, tmp_path)
    run = opened(tmp_path)
    bank = np.array([[[1, -1], [0, -1]], [[0, -1], [0, -1]]])
    weights = np.array([[1.0, 0.0], [0.0, 1.0]])
    samples = run.sampler.sample(run.params, bank, 0, weights)
    assert samples.tokens.min() >= 0


def test_a_decoder_that_does_not_suit_it_is_named(data, tokenizer, transformer, tmp_path):
    config = method_config("prompts", data, tokenizer, transformer)
    config.decode.decoder = "frontier"
    with pytest.raises(UserError, match="'frontier', which does not work with the Third in"):
        train(config, tmp_path)
