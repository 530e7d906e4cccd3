"""The sentence about a missing net names the command that makes it, and that command does."""

import pathlib
import re
import runpy
import shlex

import pytest

from tests.programs import call
from vpt_gen import convert
from vpt_gen.checkpoints import arrival, origins
from vpt_gen.checkpoints.backbone import TOKENIZERS, load_net
from vpt_gen.checkpoints.released import READERS, published
from vpt_gen.config import flag
from vpt_gen.config.fields import PRETRAINING
from vpt_gen.errors import UserError
from vpt_gen.recipes.small import NETS_COMPARED

ROOT = pathlib.Path(__file__).parents[2]
CONFIGS = {path.stem: path for path in flag.files_of_runs(ROOT / "configs")}
TRANSFORMERS = {"nar": "maskgit", "ar": "gpt"}
OTHERS = {"gan": "biggan", "classifier": "classifier"}


def get_config(stem, *variant):
    return runpy.run_path(str(CONFIGS[stem]))["get_config"](*variant)


def sentence(path, *kinds):
    with pytest.raises(UserError) as missing:
        load_net(path, *kinds)
    text = str(missing.value)
    assert text.startswith(f"{str(path)!r} holds no pretrained {kinds[0]} (no net.json); ")
    assert text.endswith("check the path.") and "\n" not in text
    return text


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """The working directory, with nothing in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", published.FILES)
def test_published_nets_are_converted(empty, name):
    kind = READERS[published.FILES[name].kind][0]
    command = f"`python -m vpt_gen.convert --name={name}`, or"
    assert command in sentence(f"weights/{name}", kind)
    assert command in sentence(pathlib.Path(f"weights/{name}/"), kind)
    # No command makes a transformer of a tokenizer's file.
    other = "gpt" if kind in TOKENIZERS else "vqgan"
    assert "`" not in sentence(f"weights/{name}", other)


@pytest.mark.parametrize(
    "path", ["weights/net", "big/weights/net", "/disk/net", "net", "my weights/net"]
)
def test_the_command_writes_the_directory_that_is_missing(empty, monkeypatch, path):
    entry = published.FILES["maskgit256_tokenizer"]
    monkeypatch.setitem(published.FILES, "net", entry)
    text = sentence(path, "vqgan", "taming_vqgan")
    written = []
    monkeypatch.setattr(convert.published, "obtain", lambda *args: pathlib.Path("x"))
    monkeypatch.setattr(convert, "convert", lambda kind, source, output, *_: written.append(output))
    call(convert, *shlex.split(text.split("`")[1])[3:])
    assert [pathlib.Path(output) for output in written] == [pathlib.Path(path)]


def test_the_biggan_of_the_docs_is_converted_to_where_it_is_missing(empty):
    path = get_config("maskgit256", "cgantransfer").backbone.gan
    command = f"`python -m vpt_gen.convert --kind=biggan --file=G_ema.pth --output={path}`, or"
    assert command in sentence(path, "biggan")
    assert "`" not in sentence(path, "vqgan")


def test_every_config_that_pretrains_is_known_with_its_net():
    made = {}
    for stem in CONFIGS:
        config = get_config(stem)
        if config.task in PRETRAINING and not stem.startswith("small_"):
            made[stem] = OTHERS.get(config.task) or config.model.net
    assert made == origins.PRETRAINED


@pytest.mark.parametrize(("stem", "kind"), origins.PRETRAINED.items())
def test_own_nets_are_pretrained(tmp_path, monkeypatch, stem, kind):
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    command = f"`python -m vpt_gen.main --config=configs/{stem}.py"
    assert f"{command}`, or" in sentence(f"runs/{stem}/net", kind)
    assert f"{command} --workdir=/disk/{stem}`, or" in sentence(f"/disk/{stem}/net", kind)
    assert "`" not in sentence(f"runs/{stem}/net", "taming_vqgan")
    assert "`" not in sentence(f"runs/{stem}", kind)


@pytest.mark.parametrize("kind", ["titok", *NETS_COMPARED])
def test_small_nets_are_pretrained(tmp_path, monkeypatch, kind):
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    text = sentence(f"runs/small/{kind}/net", kind)
    config = re.search(rf"--config=configs/(\w+).py(:\w+)? --workdir=runs/small/{kind}`", text)
    variant = (config[2] or "").removeprefix(":")
    assert get_config(config[1], *filter(None, [variant])).model.net == kind


def test_a_config_is_found_from_any_folder(empty):
    text = sentence("runs/source_tokenizer/net", *TOKENIZERS)
    assert f"--config={shlex.quote(str(CONFIGS['source_tokenizer']))}`" in text


def test_no_command_is_made_up(empty, monkeypatch):
    for path in ("runs/demo/net", "runs/mine/net", "weights/mine", "net", "weights/G_ema"):
        assert "`" not in sentence(path, *TOKENIZERS)
    monkeypatch.setattr(origins.vpt_gen, "__file__", str(empty / "site" / "vpt_gen" / "x.py"))
    assert "`" not in sentence("runs/source_tokenizer/net", *TOKENIZERS)


@pytest.mark.parametrize("root", ["", "elsewhere/", "/elsewhere/"])
def test_a_source_that_no_longer_ships_is_named_with_its_last_commit(empty, root):
    path = f"{root}vpt_gen/assets/color/tokenizer"
    with pytest.raises(UserError) as missing:
        load_net(path, *TOKENIZERS)
    assert str(missing.value) == (
        f"The color source no longer ships, so '{path}' is missing: get it from the last commit "
        "that has it, with `git checkout 6ec1841 -- vpt_gen/assets/color` in a full clone, or tune "
        "anew with configs/folder.py."
    )
    assert "no longer ships" not in sentence("assets/color/tokenizer", *TOKENIZERS)


@pytest.mark.parametrize("stem", CONFIGS)
def test_no_config_is_left_without_a_command_for_its_nets(stem):
    config = get_config(stem)
    for part, path in arrival.chosen(config.get("backbone", {})).items():
        if not path or path.startswith("vpt_gen/assets/"):
            continue
        kinds = {
            "tokenizer": TOKENIZERS,
            "gan": ("biggan",),
            "transformer": (TRANSFORMERS.get(config.get("family"), ""),),
        }[part]
        assert origins.command_for(path, kinds)
