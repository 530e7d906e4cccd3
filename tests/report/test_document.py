"""The whole page of tiny runs of every kind, and what keeps a page from being made."""

import functools
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from tests import made
from tests.programs import opened, train
from tests.report.pages import read
from vpt_gen.errors import UserError
from vpt_gen.machine import distributed
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.report.__main__ import open_compared
from vpt_gen.report.document import draw_together, make_page
from vpt_gen.runs.shared_samples import SharedSamples

pytestmark = pytest.mark.slow

CLASSES = ('<b>&"', "discs")
SECTIONS = ["samples", "figures", "curves", "decoding", "marquee", "prompts", "run"]
SIZES = {"num_layers": 1, "hidden_size": 16, "num_heads": 2, "intermediate_size": 16}


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    """Nets that have learned nothing: a page shows that, too."""
    folder = tmp_path_factory.mktemp("nets")
    sequence = (jnp.zeros((1, 16), jnp.int32), None, jnp.zeros((1,), jnp.int32))
    for name, net, example in (
        ("tokenizer", VQGAN(32, (1, 1, 1), 1, 8, 16), (jnp.zeros((1, 16, 16, 3)),)),
        ("nar", MaskGIT(16, 2, 16, **SIZES), sequence),
        ("ar", GPT(16, 16, **SIZES), sequence),
    ):
        made.save_new(folder / name, net, *example)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return made.write_folder(tmp_path_factory.mktemp("data") / "images", CLASSES)


@pytest.fixture(scope="module")
def trained(nets, data, tmp_path_factory):
    """Makes a run with prompts of a family for a condition, once."""

    @functools.cache
    def run(family, condition):
        config = made.prompts_config(data, nets / "tokenizer", nets / family, family)
        config.prompt.condition = condition
        if condition == "instance":
            config.data.holdout = 0.0
            config.eval_every = 0
        workdir = str(tmp_path_factory.mktemp("run"))
        train(config, workdir)
        return workdir

    return run


def test_a_page_of_classes_and_instances(trained, data):
    run = opened(trained("nar", "class+instance"))
    page = make_page(run, num=2, seed=0, compared={"<other>": run})
    reader = read(page)
    assert [a["id"] for tag, a in reader.elements if tag == "section"] == SECTIONS
    assert CLASSES[0] not in page and '&lt;b&gt;&amp;"' in page
    text = "".join(reader.text)
    assert "3 prompt tokens, tuned on a frozen" in text
    assert "in 2 updates, for each of 2 classes and 6 training images." in text
    assert f"--config.data.path='{data}'" in text or f"--config.data.path={data}" in text
    assert "python -m vpt_gen.evaluate" in text
    assert "<other>, 3 tokens" in text
    captions = [a["alt"] for tag, a in reader.elements if tag == "img"]
    assert "discs after iteration 3: 16 of 16 tokens" in captions
    assert "held-out image of discs" in captions
    assert len(page) < 1_000_000
    assert make_page(run, num=2, seed=0, compared={"<other>": run}) == page


def test_a_page_whose_images_several_processes_have_drawn(trained, tmp_path, monkeypatch):
    """Here one process after the other."""
    run = opened(trained("nar", "class+instance"), decode=["batch_size=3"])
    shared = SharedSamples(epath.Path(tmp_path) / "images")
    told = []  # What was there at the beginning, as the first one tells the other.
    with monkeypatch.context() as patch:
        patch.setattr(distributed, "share_of", lambda items: np.array_split(items, 2)[0])
        patch.setattr(distributed, "first_tells", lambda done: told.append(done) or done)
        draw_together(run, 2, 0, shared)
        patch.setattr(distributed, "share_of", lambda items: np.array_split(items, 2)[1])
        patch.setattr(distributed, "first_tells", lambda done: told.pop(0))
        draw_together(run, 2, 0, shared)
    sampled = []
    draw = lambda generation: sampled.append(generation) or shared.read(generation)  # noqa: E731
    page = make_page(run, num=2, seed=0, compared={}, draw=draw)
    assert page == make_page(run, num=2, seed=0, compared={})
    assert len(sampled) == len(list(shared.folder.iterdir())), "drawn in vain"
    shared.remove()
    assert not shared.folder.exists()


def test_a_page_of_classes_token_by_token(trained):
    page = make_page(opened(trained("ar", "class")), num=2, seed=0, compared={})
    reader = read(page)
    captions = [a["alt"] for tag, a in reader.elements if tag == "img"]
    assert "discs after step 4: 4 of 16 tokens" in captions
    assert "other class alone" in "".join(reader.text)


def test_a_page_of_instances_alone(trained):
    run = opened(trained("nar", "instance"), decode=["decoder=frontier"])
    text = "".join(read(make_page(run, num=2, seed=0, compared={})).text)
    assert "each predicts and fixes some tokens, spread evenly over the image" in text
    assert "needs held-out images, which this run does not have" in text
    assert "prompt of" in text and "No loss of held-out images was measured" in text


def test_what_keeps_a_page_from_being_made(trained, data, tmp_path):
    run, other = opened(trained("ar", "class")), trained("nar", "class+instance")
    with pytest.raises(UserError, match="are for class.instance, those of .* for class"):
        open_compared(run, [other])
    elsewhere = tmp_path / "images"
    shutil.copytree(data, elsewhere)
    (elsewhere / "discs" / "0.png").unlink()
    run.config.data.path = str(elsewhere)
    with pytest.raises(UserError, match="has changed since its training"):
        make_page(run, num=2, seed=0, compared={})
