"""Runs on TiTok: tokens without places, from pretraining to the page."""

import json

import chex
import numpy as np
import pytest
from etils import epath
from PIL import Image

from tests import made
from tests.programs import opened, train
from tests.report.pages import read
from vpt_gen.checkpoints.backbone import load_net, save_net
from vpt_gen.checkpoints.shipped import DEMO
from vpt_gen.config import default_config
from vpt_gen.errors import UserError
from vpt_gen.nets.titok import TiTok
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.report.document import make_page
from vpt_gen.runs.editing import Brush, check
from vpt_gen.runs.generation import plain_generation
from vpt_gen.runs.saved import save_generation

pytestmark = pytest.mark.slow

TOKENIZER = TiTok(16, 8, 6, 5, 16, 16, 1, 2, 16, 1, 2, True, True, 0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return made.write_folder(tmp_path_factory.mktemp("data") / "shapes", side=16)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer") / "net"
    made.save_new(path, TOKENIZER, np.zeros((1, 16, 16, 3)))
    return path


def code_predicting(data, vqgan):
    """The config of a TiTok that predicts the codes of the VQGAN in a directory."""
    config = made.shared(default_config("tokenizer", net="titok"), data)
    config.losses.adversarial_weight = 0.0
    config.losses.predict_codes_of = str(vqgan)
    config.model.update({"image_size": 16, "patch_size": 2, "num_tokens": 6, "codebook_size": 8})
    for part in ("encoder", "decoder"):
        config.model.update({f"{part}_width": 16, f"{part}_layers": 1, f"{part}_heads": 2})
    config.model.update({"pixel_codes": 16, "pixel_dim": 8, "filters": 32, "num_res_blocks": 1})
    config.model.channel_multipliers = (1, 1)
    return config


def test_a_titok_is_trained_on_the_codes_of_a_vqgan(data, tmp_path):
    vqgan = VQGAN(32, (1, 1), 1, 8, 16)
    params = made.new_params(vqgan, np.zeros((1, 16, 16, 3)))
    save_net(str(tmp_path / "vqgan"), vqgan, params, {})
    config = code_predicting(data, tmp_path / "vqgan")
    train(config, tmp_path / "run")
    trained = load_net(tmp_path / "run" / "net", "titok")
    assert trained.net.num_tokens == 6
    chex.assert_trees_all_equal(trained.params["pixels"]["decoder"], params["decoder"])
    config.model.pixel_codes = 32
    with pytest.raises(UserError, match="the VQGAN in .* needs config.model.pixel_codes=16"):
        train(config, tmp_path / "other")


def pretraining(data, tokenizer, net="titok_maskgit"):
    config = made.shared(default_config("transformer", "nar", net), data)
    config.backbone.tokenizer = str(tokenizer)
    config.decode.num_iterations = 2
    return config


@pytest.fixture(scope="module")
def transformer(data, tokenizer, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("transformer")
    config = pretraining(data, tokenizer)
    config.model.update({"num_layers": 3, "hidden_size": 16, "num_heads": 2})
    config.model.update({"intermediate_size": 32, "long_skips": True})
    train(config, workdir)
    return workdir / "net"


def test_prompts_are_tuned_drawn_and_shown(data, tokenizer, transformer, tmp_path):
    assert load_net(transformer, "titok_maskgit").net.num_tokens == 6
    config = made.shared(default_config("prompts"), data)
    config.data.cache_dir = str(tmp_path / "tokens")
    config.data.holdout = 0.0
    config.backbone.tokenizer = str(tokenizer)
    config.backbone.transformer = str(transformer)
    config.decode.update({"decoder": "titok_released", "num_iterations": 3, "guidance": 1.0})
    config.decode.guidance_schedule = "ramp"
    config.eval_every = 0
    config.prompt.num_prompt_tokens = 3
    config.evaluation.num_samples = 4
    config.evaluation.baselines = False
    config.evaluation.tokenizer = f"{DEMO}/tokenizer"
    train(config, tmp_path / "run")
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert "frechet" in metrics["figures"]
    assert (
        metrics["protocol"]["features"]["digest"] == load_net(f"{DEMO}/tokenizer", "vqgan").digest
    )
    run = opened(tmp_path / "run")
    assert run.sampler.token_grid == (1, 6)
    with pytest.raises(UserError, match="TiTok generator, each of whose tokens shapes the whole"):
        check(run, [], Brush())
    generation = plain_generation(run, np.array([0, 1]), seed=0)
    save_generation(generation, epath.Path(tmp_path / "drawn"), trace=True)
    assert Image.open(tmp_path / "drawn/trace.png").size[0] > 2 * 16
    page = "".join(read(make_page(run, num=2, seed=0, compared={})).text)
    assert "tokens of this model have no places in the image" in page
    assert "tuned on a frozen NAR (TiTok generator)" in page


def test_decoders_of_places_do_not_fit(data, tokenizer, transformer, tmp_path):
    config = made.shared(default_config("prompts"), data)
    config.backbone.tokenizer = str(tokenizer)
    config.backbone.transformer = str(transformer)
    config.decode.decoder = "halton"
    with pytest.raises(UserError, match="'halton', which does not work with the TiTok generator"):
        train(config, tmp_path)


def test_pretraining_names_a_net_of_another_kind(data, tokenizer, tmp_path):
    with pytest.raises(UserError, match="a MaskGIT models a grid: change config.model.net"):
        train(pretraining(data, tokenizer, "maskgit"), tmp_path)


def test_a_tokenizer_is_trained_by_its_name(data, tmp_path):
    config = made.shared(default_config("tokenizer", net="titok"), data)
    config.model.update(
        {name: getattr(TOKENIZER, name) for name in config.model if hasattr(TOKENIZER, name)}
    )
    config.losses.adversarial_weight = 0.0
    config.losses.perceptual_weights = ""
    config.eval_every = 0
    train(config, tmp_path)
    assert load_net(tmp_path / "net", "titok").net.num_tokens == 6
