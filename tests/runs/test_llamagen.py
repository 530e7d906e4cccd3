"""A LlamaGen through the programs: pretrained, tuned, measured, drawn from, and on a page."""

import json

import numpy as np
import pytest

from tests import made
from tests.programs import opened, train
from tests.report.pages import read
from vpt_gen.checkpoints.backbone import load_net
from vpt_gen.config import default_config
from vpt_gen.errors import UserError
from vpt_gen.nets.llamagen import LlamaGen
from vpt_gen.nets.llamagen_vqgan import LlamaGenVQGAN
from vpt_gen.report.document import make_page
from vpt_gen.runs.samples import draw

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return made.write_folder(tmp_path_factory.mktemp("data") / "shapes", side=16)


@pytest.fixture(scope="module")
def nets(data, tmp_path_factory):
    """Directories of a tokenizer, made, and of a transformer, pretrained for two updates."""
    folder = tmp_path_factory.mktemp("nets")
    tokenizer = LlamaGenVQGAN(32, (1, 1, 1), 1, (2,), 32, 8, 16)
    made.save_new(folder / "tokenizer", tokenizer, np.zeros((1, 16, 16, 3)))
    config = made.shared(default_config("transformer", "ar", "llamagen"), data)
    config.backbone.tokenizer = str(folder / "tokenizer")
    config.model.update(
        {"num_layers": 1, "hidden_size": 16, "num_heads": 2, "intermediate_size": 24}
    )
    train(config, folder / "transformer")
    return folder / "tokenizer", folder / "transformer" / "net"


def prompts_config(data, nets, **options):
    config = made.prompts_config(data, *nets, family="ar")
    config.prompt.update(options)
    config.data.cache_dir = str(data.parent / "tokens")
    return config


def test_it_is_pretrained_with_classes_and_none(nets):
    net = load_net(nets[1], "llamagen")
    assert net.net == LlamaGen(16, 2, 16, 1, 16, 2, 0, 24, dropout_rate=0.1)
    model = net.about["config"]["model"]
    assert model["class_dropout"] == 0.1 and "prompt_rotation" not in model
    assert np.any(np.asarray(net.params["condition_embeddings"]["embedding"])[-1])


def test_its_prompts_are_tuned_measured_and_shown(data, nets, tmp_path):
    config = prompts_config(data, nets)
    config.decode.guidance = 0.5
    config.evaluation.num_samples = 4
    config.evaluation.baselines = False
    train(config, tmp_path)
    figures = json.loads((tmp_path / "metrics.json").read_text())["figures"]
    assert np.isfinite(figures["frechet"]["value"])
    run = opened(tmp_path)
    bank = np.array([[[1, -1], [0, -1]], [[0, -1], [0, -1]]])
    weights = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.0, 1.0]])
    samples = draw(run.sampler, run.params, bank, 0, weights)
    assert samples.images.shape == (2, 16, 16, 3)
    page = read(make_page(run, num=2, seed=0, compared={}))
    assert "AR (LlamaGen)" in "".join(page.text)


def test_the_rotation_of_a_run_is_that_of_its_config(data, nets, tmp_path):
    config = prompts_config(data, nets, rotation="identity")
    config.eval_every = 0
    train(config, tmp_path)
    assert opened(tmp_path).sampler.transformer.prompt_rotation == "identity"
    with pytest.raises(UserError, match="rotation is 'half': it must be '' or one of zero, plain"):
        train(prompts_config(data, nets, rotation="half"), tmp_path / "other")
