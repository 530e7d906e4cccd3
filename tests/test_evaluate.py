"""The command: the same numbers from a checkpoint, its folder of samples, and its own command."""

import dataclasses
import json
import pathlib
import shlex
import shutil
import types

import numpy as np
import pytest
from etils import epath
from PIL import Image

from tests import made
from tests.programs import call, flags_of, opened, start, train
from vpt_gen.checkpoints.store import CONFIG_FILE, Store
from vpt_gen.config import flag
from vpt_gen.config.fields import default_config
from vpt_gen.data.batches import open_sources
from vpt_gen.errors import UserError
from vpt_gen.evaluate import __main__ as evaluate
from vpt_gen.evaluate import real
from vpt_gen.evaluate.drawn import draw_from_run
from vpt_gen.evaluate.real import open_real_sets
from vpt_gen.evaluation.image_sets import real_sets
from vpt_gen.machine.manifest import sha256
from vpt_gen.methods import prompts
from vpt_gen.runs import saved
from vpt_gen.runs.generation import even_class_ids, plain_generation

ROOT = pathlib.Path(__file__).parents[1]
NUM = 9

pytest.importorskip("sklearn")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return made.write_folder(tmp_path_factory.mktemp("data") / "shapes", count=12, side=32)


def make_config(data, image_size=32):
    config = made.shared(default_config("prompts"), data)
    config.eval_every = 0
    config.data.image_size = image_size
    config.backbone.tokenizer = "vpt_gen/assets/demo/tokenizer"
    config.backbone.transformer = "vpt_gen/assets/demo/transformer"
    config.prompt.num_prompt_tokens = 2
    config.decode.num_iterations = 2
    config.decode.batch_size = 4
    config.evaluation.num_samples = NUM
    config.evaluation.every = 1
    config.best_metric = "precision"
    return config


@pytest.fixture(scope="module")
def workdir(data, tmp_path_factory):
    """A run on the shipped nets, measured after both of its updates."""
    config = make_config(str(data))
    workdir = tmp_path_factory.mktemp("run")
    train(config, workdir)
    return workdir


def read(folder):
    return json.loads((pathlib.Path(folder) / "metrics.json").read_text())


def figures(record):
    return {name: (f["value"], f["std"], f["floor"]) for name, f in record["figures"].items()}


def test_training_measures_and_keeps_the_best_and_the_last(workdir):
    record = read(workdir)
    for name in ("samples.png", "samples_untuned.png", "strip.png"):
        assert record["files"][name] == sha256((workdir / name).read_bytes())
    assert record["figures"]["frechet"]["untuned"] > 0
    assert record["protocol"]["generated"]["checkpoint"]["step"] == 2
    kept = Store(str(workdir), read_only=True, best_metric="precision", higher_is_better=True)
    steps = sorted(kept._manager.all_steps())
    assert steps[-1] == 2 and len(steps) <= 2
    for step in steps:
        assert "precision" in kept._manager.metrics(step)


def test_the_command_in_metrics_json_gives_its_figures_again(workdir):
    record = read(workdir)
    python, *arguments = shlex.split(record["protocol"]["command"])
    assert (python, arguments[0]) == ("python", "-m")
    run = start(*arguments[1:])
    assert run.returncode == 0, run.stderr
    again = read(workdir / "evaluation")
    assert figures(again) == figures(record)
    assert again["protocol"].pop("devices") == "1 x cpu"
    del record["protocol"]["devices"]  # Tests see eight, of which the run used one.
    assert again["protocol"] == record["protocol"]
    assert again["left_out"] == record["left_out"]
    for name in ("class agreement", "Frechet distance", "memorization rate"):
        assert name in run.stdout


@pytest.fixture(scope="module")
def samples(workdir, tmp_path_factory):
    """The run's images as vpt_gen.sample writes them."""
    run = opened(workdir)
    generation = plain_generation(run, even_class_ids(NUM, 2), 0)
    folder = tmp_path_factory.mktemp("samples")
    saved.save_generation(generation, epath.Path(folder))
    Image.new("RGB", (99, 99)).save(folder / "grid.png")
    return folder


def test_a_folder_of_samples_has_the_figures_of_its_checkpoint(workdir, data, samples):
    """Against the same real images, as a config names them."""
    config = ROOT / "configs" / "folder.py"
    overrides = {"data.path": data, "data.holdout": 0.5, "data.fit": "crop"}
    # Of the run's net, and not of the source that the config adapts.
    tokenizer = "vpt_gen/assets/demo/tokenizer"
    overrides |= {"data.image_size": 32, "backbone.tokenizer": tokenizer}
    arguments = [f"--config.{name}={value}" for name, value in overrides.items()]
    run = start("vpt_gen.evaluate", f"--images={samples}", f"--config={config}", *arguments)
    assert run.returncode == 0, run.stderr
    assert "without FID" in run.stdout
    record = read(f"{samples}_evaluation")
    assert figures(record) == figures(read(workdir))
    made_by = record["protocol"]["generated"]["generation"]
    assert made_by["checkpoint"] == read(workdir)["protocol"]["generated"]["checkpoint"]
    assert record["protocol"]["generated"]["verified"] is True


def draw_mixed(folder):
    """Nine images of mixed sizes and kinds, one broken, and a file that is none."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for i in range(9):
        channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[("L", "RGB", "RGBA")[i % 3]]
        pixels = random.integers(0, 256, (20 + 9 * i, 60 - 5 * i, *channels))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    (folder / "broken.png").write_bytes((folder / "3.png").read_bytes()[:200])
    (folder / "notes.txt").write_text("none")


def test_folders_of_mixed_images(data, tmp_path, capsys):
    draw_mixed(tmp_path / "mixed")
    call(
        evaluate,
        f"--images={tmp_path / 'mixed'}",
        f"--reference={data / 'bars'}",
        f"--train={data / 'discs'}",
        f"--output={tmp_path / 'out'}",
        needs_config=False,
    )
    assert "broken.png (cannot be read: image file is truncated)" in capsys.readouterr().out
    record = read(tmp_path / "out")
    assert record["protocol"]["generated"]["count"] == 9
    assert record["protocol"]["reference"]["preparation"] == "as they are"
    assert {"frechet", "kid", "memorization_rate"} <= record["figures"].keys()
    assert "two classes" in record["left_out"]["class_agreement"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "either --checkpoint=<workdir> or --images=<folder>"),
        (["--checkpoint=a", "--images=b"], "either --checkpoint=<workdir> or --images=<folder>"),
        (["--images=."], "--reference=<folder> or --config=<config>"),
        (["--checkpoint=a", "--config=configs/demo.py", "--reference=."], "either --config or"),
        (["--checkpoint=a", "--train=."], "--train needs --reference"),
        (["--images=.", "--reference=.", "--num=5"], "--num only applies with --checkpoint"),
        (["--images=nowhere", "--reference=."], "--images: the folder 'nowhere' does not exist"),
        (["--images=.", "--reference=nowhere"], "--reference: the folder 'nowhere' does not"),
    ],
)
def test_flags_that_do_not_go_together_are_named(given, message):
    with pytest.raises(UserError, match=message):
        call(evaluate, *given, needs_config=False)


def open_sets(run, *given):
    with flags_of(evaluate, *given, needs_config=False):
        return open_real_sets(run)


def write_config(folder, **changes):
    """The file of a config: that of the run `workdir` with changes."""
    path = folder / "config.py"
    path.write_text(
        "from tests import test_evaluate\n\ndef get_config():\n"
        f"    return test_evaluate.make_config(**{changes})\n"
    )
    return path


def test_data_that_have_changed_since_the_tuning_are_refused(workdir, data, tmp_path):
    run = opened(workdir)
    changed = data.parent / "changed"
    shutil.copytree(data, changed)
    (changed / "bars" / "0.png").unlink()
    run.config.data.path = str(changed)
    with pytest.raises(UserError, match="have changed since its training"):
        open_sets(run)
    # A config of the user's own says that it is meant.
    own = write_config(tmp_path, data=str(changed))
    reference, train, judge = open_sets(run, f"--config={own}")
    assert judge is None
    assert len(reference) + len(train) == 23


def test_a_folder_is_squared_as_the_run_saw_its_images(workdir, data):
    run = opened(workdir)
    reference, train, _ = open_sets(run, f"--reference={data}")
    assert train is None
    assert reference.record["preparation"].startswith("crop to 32x32")
    with pytest.raises(UserError, match="hold the same images"):
        open_sets(run, f"--reference={data}", f"--train={data}")


def test_a_reference_says_how_many_of_its_images_were_trained_on(workdir, data, tmp_path):
    run = opened(workdir)
    reference, train, _ = open_sets(run)
    assert str(reference) == "12 held-out images" and str(train) == "12 training images"
    everything, *_ = open_sets(run, f"--reference={data}")
    assert 12 <= everything.trained_on < 24
    # What another draw holds out is not held out from the run.
    own = f"--config={write_config(tmp_path, data=str(data))}"
    again, train, _ = open_sets(run, own, "--config.data.holdout_seed=1")
    assert 0 < again.trained_on == again.record["trained_on"] < 12
    assert train.record["digest"] == run.facts["data"]
    copies = tmp_path / "copies"
    source = open_sources(run.config)[0]
    for i in range(len(source)):
        folder = copies / source.class_names[source.labels[i]]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(source.load(i)).save(folder / f"{i}.bmp")
    assert str(open_sets(run, f"--reference={copies}")[0]) == "12 images trained on"


def test_training_images_that_have_changed_are_said_to_be_unknown(data, capsys):
    config = make_config(data)
    train, _ = open_sources(config)
    for digest, known in ((train.digest, True), ("other", False)):
        run = types.SimpleNamespace(merged=(), config=config, facts={"data": digest})
        assert (real._trained_on(run) is not None) == known
        assert ("not known: " in capsys.readouterr().out) != known


def test_a_folder_is_measured_by_the_tokenizer_that_the_config_names(data, monkeypatch, capsys):
    config = make_config(data)
    config.evaluation.tokenizer = "nowhere"
    monkeypatch.setattr(real, "FLAGS", types.SimpleNamespace(config=config, weights_dir=""))
    assert real.open_features("tokenizer", None).name == "tokenizer"
    assert "nowhere" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "argument", "name"),
    [("demo", "", "tokenizer"), ("folder", "", "photos"), ("folder", "minegan", "tokenizer")],
)
def test_color_images_are_measured_by_the_photos_classifier(
    file, argument, name, monkeypatch, tmp_path
):
    config = flag.load(ROOT / "configs" / f"{file}.py", argument)
    flags = types.SimpleNamespace(config=config, weights_dir=str(tmp_path))
    monkeypatch.setattr(real, "FLAGS", flags)
    assert config.evaluation.features == name
    assert real.choose_features(None) == name
    assert real.choose_features(types.SimpleNamespace(config=config)) == name
    config.evaluation.tokenizer = "vpt_gen/assets/demo/tokenizer"
    assert real.choose_features(None) == "tokenizer"


def test_a_run_that_holds_nothing_out_is_compared_with_images_trained_on(workdir):
    run = opened(workdir)
    run.config.data.holdout = 0.0
    reference, train = real_sets(run.config, *open_sources(run.config))
    assert (str(reference), train) == ("24 images trained on", None)


def test_a_run_older_than_a_field_of_its_config_has_the_default(workdir, tmp_path):
    older = tmp_path / "older"
    shutil.copytree(workdir, older)
    record = json.loads((older / CONFIG_FILE).read_text())
    assert record["config"]["data"].pop("color_jitter") == 0.0
    (older / CONFIG_FILE).write_text(json.dumps(record))
    assert opened(older).config == opened(workdir).config


def test_images_of_another_size_than_the_run_makes_are_refused(workdir, data, tmp_path):
    run = opened(workdir)
    other = f"--config={write_config(tmp_path, data=str(data), image_size=64)}"
    with pytest.raises(UserError, match="add --config.data.image_size=32"):
        open_sets(run, other)
    assert len(open_sets(run, other, "--config.data.image_size=32")[0]) == 12


def draw(run, reference, *given):
    with flags_of(evaluate, *given, needs_config=False):
        return draw_from_run(run, reference)


def test_prompts_of_instances_alone_have_no_class_to_go_to(workdir):
    run = opened(workdir)
    old = run.sampler.method.generator
    method = prompts.make_method(dataclasses.replace(old, num_classes=0, num_instances=12))
    run = dataclasses.replace(run, sampler=dataclasses.replace(run.sampler, method=method))
    run.facts["instance_labels"] = [0] * 6 + [1] * 6
    reference, *_ = open_sets(run)
    assert draw(run, reference, "--num=4").labels.tolist() == [0, 0, 1, 1]
    with pytest.raises(UserError, match="These prompts have no classes"):
        draw(run, reference, "--num=4", "--marquee=instance_to_class")


def test_classes_are_drawn_as_the_reference_has_them(workdir, data, capsys):
    run = opened(workdir)
    (data.parent / "lean" / "discs").mkdir(parents=True)
    shutil.copytree(data / "bars", data.parent / "lean" / "bars")
    shutil.copy(data / "discs" / "0.png", data.parent / "lean" / "discs")
    lean, *_ = open_sets(run, f"--reference={data.parent / 'lean'}")
    assert np.bincount(draw(run, lean).labels).tolist() == [12, 1]
    capsys.readouterr()
    draw(run, lean, "--num=1")
    said = capsys.readouterr().out
    assert "None of 1 image to draw is of discs. Raise --num to draw all classes." in said
    even = draw(run, lean, "--class_counts=even", "--num=5")
    assert np.bincount(even.labels).tolist() == [3, 2]
    assert even.record["class_counts"] == "even"
    shutil.copytree(data / "bars", data.parent / "flat")
    flat, *_ = open_sets(run, f"--reference={data.parent / 'flat'}")
    capsys.readouterr()
    assert draw(run, flat).record["class_counts"] == "even"
    assert "drawing evenly" in capsys.readouterr().out
    birds = dataclasses.replace(flat, class_names=("birds",))
    with pytest.raises(
        UserError, match="'birds' of the reference images is not a class of the run"
    ):
        draw(run, birds, "--class_counts=reference")
