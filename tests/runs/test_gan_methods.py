"""Runs of BigGAN and of what adapts it: they resume, and can be sampled, measured and looked at."""

import dataclasses
import functools
import json
import shutil

import chex
import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from tests import made
from tests.programs import opened, train
from tests.report.pages import read
from vpt_gen.checkpoints.backbone import load_net, save_net
from vpt_gen.checkpoints.store import Store
from vpt_gen.config.fields import GAN_METHODS, default_config
from vpt_gen.errors import UserError
from vpt_gen.machine.sharding import AXES
from vpt_gen.methods import cgantransfer, minegan
from vpt_gen.methods.minegan import NO_CLASS, MineGAN
from vpt_gen.recipes.adaptation import demo
from vpt_gen.report.document import make_page
from vpt_gen.runs import gan_sampler, gans
from vpt_gen.runs.generation import plain_generation
from vpt_gen.runs.opened import set_option

pytestmark = pytest.mark.slow

# Parameters of a net that the first stage leaves alone, and the field that says how long it is.
STAGES = {"minegan": ("miner_steps", minegan), "cgantransfer": ("norm_steps", cgantransfer)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return made.write_folder(tmp_path_factory.mktemp("data") / "shapes", side=32)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return made.save_gan(tmp_path_factory.mktemp("source") / "gan")


@pytest.fixture(scope="module")
def make_config(data, source, tiny_nets):
    def make(method):
        config = made.shared(default_config(method), data)
        config.num_steps = 3
        config.batch_size = 4
        config.eval_every = 0
        config.keep_checkpoints = 2
        config.data.image_size = 32
        config.backbone.tokenizer = str(tiny_nets / "vqgan")
        config.backbone.gan = str(source)
        config.decode.batch_size = 4
        config.decode.standing_accumulations = 2
        config.evaluation.num_samples = 4
        config.evaluation.every = 1
        config.best_metric = "frechet"
        config[method][STAGES[method][0]] = 2
        return config

    return make


@pytest.fixture(scope="module")
def run_of(trained):
    """A method's run, opened to draw with running statistics or as the options say."""
    running = "standing_accumulations=0"
    return functools.cache(
        lambda method, *decode: opened(trained(method), decode=[running, *decode])
    )


def test_pretraining_leaves_a_net_that_methods_can_use(data, tmp_path):
    config = made.gan_config(data)
    config.average.start = 0
    train(config, tmp_path)
    net = load_net(str(tmp_path / "net"), "biggan")
    assert (net.net.num_classes, net.net.resolution) == (2, 32)
    trained = Store(tmp_path).restore_params()
    chex.assert_trees_all_equal(net.params["generator"], trained["generator_average"])
    chex.assert_trees_all_equal(net.params["discriminator"], trained["discriminator"])
    assert (tmp_path / "pictures" / "samples_0000002.png").is_file()
    moved = jax.tree.map(
        lambda a, b: np.abs(a - b).max(), trained["generator"], trained["generator_average"]
    )
    assert all(np.isfinite(x) for x in jax.tree.leaves(moved))
    assert max(jax.tree.leaves(moved["params"])) > 0


@pytest.mark.parametrize("method", GAN_METHODS)
def test_figures_and_page_of_a_run(method, trained, run_of):
    metrics = json.loads((trained(method) / "metrics.json").read_text())
    run = run_of(method)
    counts = run.sampler.counts(run.params)
    assert (metrics["trained_parameters"], metrics["frozen_parameters"]) == counts
    # Two moments of each, and the counts of steps of Adam and of its schedule, a group.
    groups = len(STAGES[method][1].GROUPS) + 1
    assert metrics["optimizer_bytes"] == 8 * counts[0] + 8 * groups
    generated = metrics["protocol"]["generated"]
    assert generated["method"] == method
    assert generated["sampler"]["standing_accumulations"] == 2
    assert generated["sampler"]["batch_size"] == 4
    assert ("class_agreement" in metrics["figures"]) == (method == "cgantransfer")
    reader = read(make_page(run, num=2, seed=0, compared={}))
    sections = [a["id"] for tag, a in reader.elements if tag == "section"]
    assert sections == ["samples", "figures", "curves", "run"]


@pytest.mark.parametrize("method", GAN_METHODS)
def test_an_image_is_the_same_beside_others(method, run_of):
    run = run_of(method)
    last = run.sampler.num_classes - 1
    images = plain_generation(run, np.array([last, 0, last]), seed=0).samples().images
    chex.assert_shape(images, (3, 32, 32, 3))
    assert images.min() >= 0 and images.max() <= 1
    alone = plain_generation(run, np.array([last]), seed=0).samples().images
    np.testing.assert_allclose(alone[0], images[0], atol=1e-5)
    assert np.abs(images[2] - images[0]).max() > 1e-4


def test_a_stream_that_skips_is_the_rest_to_the_last_digit(run_of):
    generation = plain_generation(run_of("minegan"), np.zeros(10, int), seed=0)
    size = next(generation.batches()).images.shape[0]
    assert size < 10
    whole = generation.samples().images
    for skip in (1, size, 10):
        batches = generation.batches(np.arange(10) >= skip)
        rest = [image for batch in batches for image in batch.images]
        assert len(rest) == 10 - skip
        np.testing.assert_array_equal(rest, whole[skip:].tolist())


def test_standing_statistics_are_a_choice_of_drawing(trained, run_of):
    settings = ["standing_accumulations=3", "batch_size=3"]
    running, standing = run_of("cgantransfer"), run_of("cgantransfer", *settings)
    before = jax.tree.map(np.array, standing.params)

    def images(run, seed=0):
        return plain_generation(run, np.array([0, 0]), seed).samples().images

    usual, stood = images(running), images(standing)
    assert np.abs(stood - usual).max() > 1e-3
    np.testing.assert_array_equal(images(standing), stood)
    chex.assert_trees_all_equal(standing.params, before)
    np.testing.assert_array_equal(images(running), usual)
    # Their batches are not rounded to what devices share evenly, and so do not depend on these.
    mesh = Mesh(np.array(jax.devices()[:2]).reshape(2, 1, 1), AXES)
    shared = opened(trained("cgantransfer"), decode=settings, mesh=mesh)
    np.testing.assert_allclose(images(shared), stood, atol=1e-5)


def test_what_standing_statistics_are_of(run_of, monkeypatch):
    settings = ["standing_accumulations=50", "z_scale=0.1", "batch_size=8"]
    run = run_of("cgantransfer", *settings)
    taken = []

    def statistics(net, variables, batches):
        taken.append(list(batches))
        return variables

    monkeypatch.setattr(gan_sampler, "standing_statistics", statistics)
    for seed in (0, 0, 1):
        plain_generation(run, np.array([1]), seed).samples()
    first, again, other = (jax.tree.map(lambda *x: np.stack(x), *batches) for batches in taken)
    assert first["z"].shape == (50, 8, run.sampler.net.latent_size)
    np.testing.assert_allclose([first["z"].mean(), first["z"].std()], [0.0, 1.0], atol=0.05)
    counts = np.bincount(first["class_ids"].ravel())
    np.testing.assert_allclose(counts / counts.sum(), 1 / run.sampler.num_classes, atol=0.1)
    chex.assert_trees_all_equal(first, again)
    assert np.abs(first["z"] - other["z"]).max() > 1.0


def test_standing_statistics_that_cannot_be_are_named(trained):
    with pytest.raises(UserError, match=r"no option 'standing_accumulations' \(it is one of mine"):
        set_option(default_config("prompts").decode, "standing_accumulations=16")
    with pytest.raises(
        UserError, match="standing_accumulations is -1; it must be a whole number from 0"
    ):
        opened(trained("minegan"), decode=["standing_accumulations=-1"])


def test_a_run_that_is_older_than_an_option_has_its_default(trained, tmp_path):
    workdir = shutil.copytree(trained("minegan"), tmp_path / "run")
    record = json.loads((workdir / "config.json").read_text())
    del record["config"]["decode"]["standing_accumulations"]
    (workdir / "config.json").write_text(json.dumps(record))
    assert opened(workdir).sampler.options["standing_accumulations"] == 0


@pytest.mark.parametrize("method", GAN_METHODS)
def test_the_first_stage_leaves_the_generator_alone(method, trained, source):
    store = Store(trained(method), keep=2, read_only=True)
    source = load_net(str(source), "biggan").params["generator"]["params"]
    first, second = (store.restore_params(step)["generator"]["params"] for step in (2, 3))
    for path in ("block_0/conv1/kernel", "linear/kernel", "output_norm/gain"):
        values = [_at(tree, path) for tree in (source, first, second)]
        np.testing.assert_array_equal(values[0], values[1], path)
        assert np.abs(values[2] - values[1]).max() > 0, path
    if method == "minegan":
        shared = [tree["shared"]["embedding"] for tree in (source, first, second)]
        np.testing.assert_array_equal(shared[0], shared[2])
    else:
        scores = [tree["block_0"]["bn1"]["comb_layer_g"]["kernel"] for tree in (first, second)]
        np.testing.assert_array_equal(*scores)


def _at(tree, path):
    for name in path.split("/"):
        tree = tree[name]
    return tree


def test_an_interrupted_run_ends_with_the_same_parameters(make_config, trained, tmp_path):
    workdir = shutil.copytree(trained("cgantransfer"), tmp_path / "run")
    shutil.rmtree(workdir / "checkpoints" / "3")
    train(make_config("cgantransfer"), workdir)
    whole, parts = (
        Store(folder, read_only=True).restore_params(3)
        for folder in (trained("cgantransfer"), workdir)
    )
    chex.assert_trees_all_equal(whole, parts)


def test_the_best_figure_is_kept_beside_the_last(trained):
    steps = {int(path.name) for path in (trained("minegan") / "checkpoints").iterdir()}
    store = Store(trained("minegan"), keep=2, read_only=True, best_metric="frechet")
    assert steps == {2, 3, store.best_step()}


def test_a_miner_of_one_class_has_its_name():
    assert MineGAN().class_names(("7",)) == ["7"]
    assert MineGAN().class_names(("7", "8")) == [NO_CLASS]


@pytest.mark.parametrize(
    ("method", "fields", "message"),
    [
        ("cgantransfer", {"hierarchical": False}, "hierarchical latents"),
        ("minegan", {"hierarchical": False, "shared": False}, "shared embedding"),
    ],
)
def test_a_source_that_does_not_suit_is_named(
    method, fields, message, make_config, source, tmp_path
):
    net = dataclasses.replace(load_net(str(source), "biggan").net, **fields)
    shapes = jax.eval_shape(net.init, jax.random.key(0))
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    save_net(str(tmp_path / "gan"), net, zeros, {})
    config = make_config(method)
    config.backbone.gan = str(tmp_path / "gan")
    with pytest.raises(UserError, match=f"config.backbone.gan: .*{message}"):
        train(config, tmp_path / "run")


def test_parts_that_devices_cannot_share_are_named(make_config):
    config = make_config("minegan")
    config.adversarial.accumulations = 2
    with pytest.raises(UserError, match="4 is trained in 2 parts, each shared by 8 devices"):
        gans.check_parts(config, Mesh(np.array(jax.devices()[:8]).reshape(8, 1, 1), AXES))


def test_an_image_size_that_is_not_the_sources_is_named(make_config, tmp_path):
    config = make_config("minegan")
    config.data.image_size = 64
    with pytest.raises(UserError, match="makes images of 32 pixels"):
        train(config, tmp_path / "run")


@pytest.mark.parametrize("method", GAN_METHODS)
def test_the_demo_starts_from_the_shipped_source(method):
    config = demo("nar", method)
    source = load_net(config.backbone.gan, "biggan")
    facts = {"class_names": list("0123456789")}
    task = gans.make_task(config, {"gan": source}, facts, sampler=None)
    state = jax.eval_shape(task.init, jax.random.key(0))
    batch = {"image": np.zeros((32, 32, 32, 3), np.float32), "label": np.zeros(32, np.int32)}
    after, metrics = jax.eval_shape(task.train_step, state, {}, batch, jax.random.key(0))
    chex.assert_trees_all_equal_shapes_and_dtypes(after, state)
    assert set(metrics) == {"loss", "discriminator_real", "discriminator_fake"}
