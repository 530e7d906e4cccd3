"""Runs on Halton-MaskGIT from pretraining to the page, by configs alone."""

import json

import numpy as np
import pytest

from tests import made
from tests.programs import opened, train
from tests.report.pages import read
from vpt_gen.checkpoints.backbone import load_net
from vpt_gen.config import default_config
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.report.document import make_page
from vpt_gen.runs.generation import plain_generation
from vpt_gen.runs.samples import draw

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return made.write_folder(tmp_path_factory.mktemp("data") / "shapes", side=16)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer") / "net"
    made.save_new(path, VQGAN(32, (1, 1, 1), 1, 8, 16), np.zeros((1, 16, 16, 3)))
    return path


def pretraining(data, tokenizer, net="halton_maskgit"):
    config = made.shared(default_config("transformer", "nar", net), data)
    config.backbone.tokenizer = str(tokenizer)
    config.decode.num_iterations = 2
    config.model.update(
        {"num_layers": 1, "hidden_size": 14, "num_heads": 4, "intermediate_size": 32}
    )
    return config


@pytest.fixture(scope="module")
def transformer(data, tokenizer, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("transformer")
    train(pretraining(data, tokenizer), workdir)
    return workdir / "net"


def prompts_config(data, tokenizer, transformer, **fields):
    config = made.shared(default_config("prompts"), data)
    config.data.cache_dir = str(data.parent / "tokens")
    config.data.holdout = 0.0
    config.backbone.tokenizer = str(tokenizer)
    config.backbone.transformer = str(transformer)
    config.decode.update({"decoder": "halton_released", "num_iterations": 2, "guidance": 1.0})
    config.decode.batch_size = 4
    config.prompt.num_prompt_tokens = 3
    config.prompt.update({"vector": True, **fields})
    return config


def test_it_is_pretrained_by_its_name(transformer):
    net = load_net(transformer, "halton_maskgit")
    assert (net.net.num_tokens, net.net.num_registers, net.net.attention_width) == (16, 1, 12)
    rows = net.params["label_embeddings"]["embedding"]
    assert rows.shape == (3, 14)


def test_prompts_of_images_with_vectors_are_tuned_drawn_and_shown(
    data, tokenizer, transformer, tmp_path
):
    config = prompts_config(
        data, tokenizer, transformer, condition="class+instance", design="factorized", num_factors=2
    )
    config.eval_every = 0
    config.evaluation.num_samples = 4
    config.evaluation.baselines = False
    train(config, tmp_path)
    assert "frechet" in json.loads((tmp_path / "metrics.json").read_text())["figures"]
    run = opened(tmp_path)
    bank = np.array([[[1, 0], [0, -1]], [[0, -1], [0, -1]]])
    weights = np.array([[1.0, 0.0], [0.0, 1.0]])
    samples = draw(run.sampler, run.params, bank, 0, weights)
    assert samples.tokens.max() < run.sampler.transformer.codebook_size
    page = "".join(read(make_page(run, num=2, seed=0, compared={})).text)
    assert "3 prompt tokens and a vector, tuned on a frozen NAR (Halton-MaskGIT)" in page


def test_a_vector_alone_is_tuned_and_drawn(data, tokenizer, transformer, tmp_path):
    config = prompts_config(data, tokenizer, transformer, num_prompt_tokens=0)
    train(config, tmp_path)
    run = opened(tmp_path)
    assert run.sampler.counts(run.params)[0] == 2 * 14
    assert plain_generation(run, np.array([0, 1]), seed=0).samples().images.shape[0] == 2
