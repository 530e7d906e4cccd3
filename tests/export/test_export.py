"""A file gives the images of its runs bit for bit, alone and merged; what does not fit is named."""

import contextlib
import functools
import itertools
import json
import types

import jax
import numpy as np
import pytest
import yaml
from PIL import Image

from tests import damage, hub_server, made
from tests.programs import call, opened
from vpt_gen import gallery, sample
from vpt_gen.checkpoints import tuned_file
from vpt_gen.checkpoints.backbone import load_net, save_net
from vpt_gen.checkpoints.claim import claim_workdir
from vpt_gen.checkpoints.store import Store
from vpt_gen.config.fields import default_config
from vpt_gen.errors import UserError
from vpt_gen.evaluate import __main__ as evaluate
from vpt_gen.export import __main__ as export
from vpt_gen.export import card
from vpt_gen.machine import sharding
from vpt_gen.report import __main__ as report
from vpt_gen.runs.build import make_experiment
from vpt_gen.runs.merging import check_mergeable
from vpt_gen.runs.samples import class_bank, draw
from vpt_gen.runs.stored import default_output
from vpt_gen.training.state import initial_state


def make_run(
    workdir, nets, classes=("bars", "discs"), task="prompts", family="nar", seed=1, **set_
):
    """A run that drew its parameters, of few prompt tokens and iterations; returns its workdir."""
    data = made.write_folder(workdir.with_name(f"{workdir.name}_data"), classes)
    config = made.shared(default_config(task, family), data)
    config.data.image_size = 32
    config.backbone.tokenizer = str(nets / "vqgan")
    if "gan" in config.backbone:
        config.backbone.gan = str(nets / "gan")
    else:
        config.backbone.transformer = str(nets / family)
        config.decode.batch_size = 4
    if task == "prompts":
        config.prompt.num_prompt_tokens = 3
    if "num_iterations" in config.decode:
        config.decode.num_iterations = 3
    config.update_from_flattened_dict(set_)
    mesh = sharding.make_mesh(jax.devices()[:1])
    experiment = make_experiment(config, str(workdir), mesh)
    claim_workdir(str(workdir), config.to_dict(), experiment.facts)
    state = initial_state(experiment.task, 0, mesh)
    noise = np.random.default_rng(seed).normal

    def moved(x):
        return np.asarray(x + 0.3 * noise(size=x.shape), x.dtype)

    with contextlib.closing(Store(str(workdir))) as store:
        store.save(seed, state.replace(params=jax.tree.map(moved, state.params)))
    return workdir


@pytest.fixture(scope="module")
def nets(tiny_nets, tmp_path_factory):
    """The smallest nets, a GAN, and a transformer that differs from `nar` in its parameters."""
    folder = tmp_path_factory.mktemp("nets")
    for name in ("vqgan", "nar", "ar"):
        (folder / name).symlink_to(tiny_nets / name)
    made.save_gan(folder / "gan")
    nar = load_net(str(tiny_nets / "nar"), "maskgit")
    save_net(str(folder / "other"), nar.net, jax.tree.map(lambda x: x + 1, nar.params), {})
    return folder


@pytest.fixture(autouse=True)
def next_to_the_nets(request, monkeypatch):
    """Files have the names of the nets' folders, not those of the machine above them."""
    if "nets" in request.fixturenames:
        monkeypatch.chdir(request.getfixturevalue("nets"))


@pytest.fixture(scope="module")
def runs(nets, tmp_path_factory):
    """Two runs on the same nets, with other classes and another number of prompt tokens."""
    folder = tmp_path_factory.mktemp("runs")
    other = {"prompt.num_prompt_tokens": 2}
    first = make_run(folder / "first", nets)
    return first, make_run(folder / "second", nets, ("a", "b", "c"), seed=2, **other)


def write_file(path, *workdirs, **changed):
    """What `vpt_gen.export` writes, without its picture."""
    found = [export._shared(opened(workdir)) for workdir in workdirs]
    for run, (name, value) in itertools.product(found, changed.items()):
        run.facts[name] = value
    path.write_bytes(tuned_file.serialized(found))
    return path


@pytest.fixture(scope="module")
def files(runs, tmp_path_factory):
    """Files of the first run, and of both."""
    folder = tmp_path_factory.mktemp("files")
    one = write_file(folder / "one.safetensors", runs[0])
    return one, write_file(folder / "both.safetensors", *runs)


@pytest.fixture(scope="module")
def opened_once():
    """Opens runs and files that no test changes: a sampler is traced once for all who draw."""
    return functools.cache(opened)


def drawn(run, classes, seed=3, **options):
    return draw(run.sampler, run.params, class_bank(classes), seed, **options)


def assert_same(found, expected):
    for name in ("images", "tokens", "revealed_at"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.slow
def test_a_file_gives_the_images_of_its_run_bit_for_bit(runs, files, opened_once):
    assert_same(drawn(opened_once(files[0]), [0, 0, 1]), drawn(opened_once(runs[0]), [0, 0, 1]))


@pytest.mark.slow
@pytest.mark.parametrize(("task", "family"), [("lora", "ar"), ("cgantransfer", "nar")])
def test_so_does_a_file_of_another_method(task, family, nets, tmp_path):
    run = make_run(tmp_path / "run", nets, task=task, family=family)
    file = write_file(tmp_path / "run.safetensors", run)
    assert_same(drawn(opened(file), [1, 0]), drawn(opened(run), [1, 0]))


@pytest.mark.slow
def test_classes_do_not_bleed_images_are_the_same_bits_after_merging(runs, files, opened_once):
    both = opened_once(files[1])
    assert both.facts["class_names"] == ["bars", "discs", "a", "b", "c"]
    assert_same(drawn(both, [0, 0, 1]), drawn(opened_once(runs[0]), [0, 0, 1]))
    assert_same(drawn(both, [2, 4, 4]), drawn(opened_once(runs[1]), [0, 2, 2]))
    # In between each other, too, in whatever order.
    mixed, own = drawn(both, [4, 0, 2, 0, 4, 1]), drawn(opened_once(runs[0]), [0, 0, 1])
    np.testing.assert_array_equal(mixed.class_ids, [4, 0, 2, 0, 4, 1])
    np.testing.assert_array_equal(mixed.images[[1, 3, 5]], own.images)
    other = drawn(opened_once(runs[1]), [2, 0, 2])
    np.testing.assert_array_equal(mixed.images[[0, 2, 4]], other.images)


@pytest.mark.slow
def test_a_merged_file_merges_again_and_goes_on_where_it_stopped(
    files, runs, tmp_path, opened_once
):
    both = opened_once(files[1])
    bank = class_bank([4, 0, 2, 0, 4, 1])
    whole = draw(both.sampler, both.params, bank, 3)
    parts = list(both.sampler.stream(both.params, bank, 3, wanted=np.arange(6) >= 2))
    np.testing.assert_array_equal(np.concatenate([x.images for x in parts]), whole.images[2:])
    call(
        export,
        *(f"--checkpoint={path}" for path in (files[1], runs[0])),
        "--prefix=x,y",
        f"--output={tmp_path / 'out'}",
        "--num=1",
    )
    again = opened(tmp_path / "out" / "tuned.safetensors")
    names = ["x/bars", "x/discs", "x/a", "x/b", "x/c", "y/bars", "y/discs"]
    assert again.facts["class_names"] == names
    assert_same(drawn(again, [4, 0, 5]), drawn(again, [4, 0, 5]))
    np.testing.assert_array_equal(drawn(again, [5]).images, drawn(opened_once(runs[0]), [0]).images)


@pytest.mark.slow
def test_a_marquee_between_merged_runs_is_refused_and_within_one_it_is_the_same(
    runs, files, opened_once
):
    both = opened_once(files[1])
    weights = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    bank = class_bank([3], [4])
    steered = draw(both.sampler, both.params, bank, 3, weights)
    own = opened_once(runs[1])
    expected = draw(own.sampler, own.params, class_bank([1], [2]), 3, weights)
    assert_same(steered, expected)
    with pytest.raises(UserError, match="stays within the classes of one of the merged runs"):
        draw(both.sampler, both.params, class_bank([3], [0]), 3, weights)


@pytest.mark.slow
def test_from_export_to_the_hub_to_images(runs, tmp_path, monkeypatch, opened_once):
    with hub_server.serving() as (server, address):
        hub_server.use(monkeypatch, address, tmp_path / "cache")
        call(
            export,
            f"--checkpoint={runs[0]}",
            "--num=2",
            "--push=me/shapes",
            "--license=cc0-1.0",
            f"--output={tmp_path / 'out'}",
        )
        pushed = server.commits["me/shapes"][-1]
        assert set(pushed) == {"tuned.safetensors", "README.md", "samples.png"}
        _, front, text = pushed["README.md"].decode().split("---\n", 2)
        assert yaml.safe_load(front)["license"] == "cc0-1.0"
        assert "![" in text and "](samples.png)" in text
        assert "--checkpoint=hf://me/shapes" in text
        assert opened_once(runs[0]).nets["transformer"].digest in text
        call(sample, "--checkpoint=hf://me/shapes", "--num=2", f"--output={tmp_path / 'a'}")
        call(sample, f"--checkpoint={runs[0]}", "--num=2", f"--output={tmp_path / 'b'}")
    for name in ("bars_0000.png", "discs_0001.png"):
        images = [np.asarray(Image.open(tmp_path / x / name)) for x in "ab"]
        np.testing.assert_array_equal(*images)
    record = json.loads((tmp_path / "a" / "samples.json").read_text())["record"]
    assert record["checkpoint"]["workdir"] == "hf://me/shapes"


@pytest.mark.slow
def test_a_file_is_measured_and_shown(runs, files, tmp_path):
    data = runs[0].with_name("first_data")
    call(
        evaluate,
        f"--checkpoint={files[1]}",
        f"--reference={data}",
        "--num=8",
        "--features=tokenizer",
        "--class_counts=even",
        f"--output={tmp_path}",
        needs_config=False,
    )
    record = json.loads((tmp_path / "metrics.json").read_text())
    assert record["figures"]
    assert len(record["protocol"]["generated"]["checkpoint"]["merged"]) == 2
    picture = tmp_path / "gallery.png"
    call(gallery, f"--run=both={files[1]}", "--num=1", "--noreal", f"--output={picture}")
    assert picture.exists()


@pytest.mark.slow
def test_a_file_for_another_backbone_is_refused(files, nets):
    with pytest.raises(UserError, match="trained on a transformer with digest .* --transformer"):
        opened(files[0], transformer=str(nets / "other"))


@pytest.mark.slow
def test_nets_that_are_elsewhere_are_asked_for(files, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="'vqgan' holds no pretrained .* give --tokenizer and"):
        opened(files[0])


def stored(**changed):
    """A run as merging sees it."""
    config = default_config("prompts", "nar").to_dict()
    for name, value in changed.pop("config", {}).items():
        group, _, field = name.partition(".")
        config[group][field] = value
    facts = {"class_names": ["a"], "tokenizer": "1" * 64, "transformer": "2" * 64}
    facts |= changed.pop("facts", {})
    return tuned_file.StoredRun(changed.pop("source", "x"), config, facts, 1, {})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"facts": {"transformer": "3" * 64}},
            "on different backbones .the transformer has digest",
        ),
        ({}, "both have a class 'a': export them with --prefix"),
        ({"facts": {"class_names": ["b"], "instance_labels": [0]}}, "prompts of training images"),
        (
            {"config": {"decode.num_iterations": 3}},
            "decode.num_iterations is 12 in one and 3 .*--set",
        ),
        ({"config": {"data.image_size": 64}}, "config.data.image_size is"),
    ],
)
def test_runs_that_cannot_be_one_are_named(changed, message):
    with pytest.raises(UserError, match=message) as error:
        check_mergeable([stored(source="x"), stored(source="y", **changed)])
    damage.assert_sentence(error, "y")


def test_runs_that_differ_in_the_rest_are_one():
    other = {"prompt.num_prompt_tokens": 7, "data.path": "elsewhere", "optimizer.b1": 0.5}
    check_mergeable([stored(), stored(config=other, facts={"class_names": ["b"]})])


@pytest.mark.slow
def test_a_record_that_does_not_fit_its_arrays_is_named(runs, tmp_path):
    file = write_file(tmp_path / "a.safetensors", runs[0], class_names=["bars"])
    with pytest.raises(UserError) as error:
        opened(file)
    damage.assert_sentence(error, f"{file} does not fit its record: prompt_", "get an intact copy")


def test_flags_that_do_not_go_together_are_named(monkeypatch):
    one, two = "--checkpoint=none", "--checkpoint=other"
    for given, message in [
        ([one, two, "--prefix=a"], "--prefix has 1 words for 2 checkpoints"),
        ([one, two, "--step=3"], "--step needs a single --checkpoint"),
        ([one, "--private"], "--private needs --push"),
        ([one, "--push=x"], "must be <owner>/<repository>"),
    ]:
        with pytest.raises(UserError, match=message):
            call(export, *given)


@pytest.mark.slow
def test_a_step_that_a_file_does_not_have_is_named(files):
    with pytest.raises(UserError, match="holds no checkpoint of update 5; it has 1"):
        opened(files[0], step=5)


def test_a_report_is_of_a_workdir():
    with pytest.raises(UserError, match="A report shows a training"):
        call(report, "--workdir=hf://me/shapes")


def test_where_images_of_a_file_go():
    assert str(default_output("runs/a", "samples")) == "runs/a/samples"
    assert str(default_output("x/a.safetensors", "samples")) == "x/a_samples"
    assert str(default_output("hf://me/cats@v1", "samples")) == "cats_samples"


def test_names_in_a_card_are_text():
    assert card.text("<b>*x* | [y](http://z)\n# w") == r"\<b\>\*x\* \| \[y\](http://z)\\n\# w"


def test_the_license_of_a_net_is_what_its_directory_says():
    net = types.SimpleNamespace(path=None, about={"license": "MIT"})
    assert card.license_of(net) == "MIT"
    assert card.license_of(types.SimpleNamespace(path=None, about={})) == "not recorded"
