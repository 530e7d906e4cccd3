"""Published nets arrive by themselves: once, complete, where they are shared; or one sentence."""

import shutil
import threading

import pytest
from absl import flags

from tests import publishers
from vpt_gen.checkpoints import arrival
from vpt_gen.checkpoints.backbone import load_net
from vpt_gen.checkpoints.released import READERS, published
from vpt_gen.errors import UserError
from vpt_gen.machine import network
from vpt_gen.nets import NETS, tokenizers

PAIR = {"name": "maskgit256", "tokenizer": "", "transformer": ""}
NAMES = ("maskgit256_tokenizer", "maskgit256_transformer")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return publishers.write_small(tmp_path_factory.mktemp("publisher"))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory, with an empty cache next to it."""
    monkeypatch.setenv("VPT_GEN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def server(files, here, monkeypatch):
    with publishers.serving(files) as running:
        for name, entry in publishers.addressed(running.address).items():
            monkeypatch.setitem(published.FILES, name, entry)
        yield running


@pytest.fixture
def offline():
    network.define_flags()
    flags.FLAGS["offline"].value = True
    yield
    delattr(flags.FLAGS, "offline")


def test_a_pair_arrives_once_and_says_so_before(server, capsys):
    paths = arrival.directories(PAIR)
    told = capsys.readouterr().out
    for part, name in zip(("tokenizer", "transformer"), NAMES, strict=True):
        assert paths[part] == str(arrival.folder() / name)
        net = publishers.SMALL[part]
        kind = next(kind for kind, cls in NETS.items() if type(net) is cls)
        assert load_net(paths[part], kind).net == net
        size = f"{published.FILES[name].megabytes} MB"
        announced = f"{name} (Apache-2.0): {size} are fetched from 127.0.0.1"
        assert announced in told and told.index(announced) < told.index("Fetching ")
    assert len(server.asked) == 2
    assert arrival.directories(PAIR) == paths
    assert len(server.asked) == 2 and capsys.readouterr().out == ""


def test_threads_of_many_programs_fetch_once(server):
    """A lock is of an open file, so threads meet it as processes do."""
    found = []
    starts = [lambda: found.append(arrival.directories(PAIR)) for _ in range(3)]
    threads = [threading.Thread(target=start) for start in starts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [found[0]] * 3
    assert sorted(name for name, _ in server.asked) == sorted(
        published.FILES[name].file for name in NAMES
    )


def test_what_convert_wrote_is_read_where_it_is(server, here):
    arrival.directories(PAIR)
    shutil.move(arrival.folder(), here / "weights")
    assert arrival.directories(PAIR) == {
        "tokenizer": "weights/maskgit256_tokenizer",
        "transformer": "weights/maskgit256_transformer",
    }
    assert len(server.asked) == 2


def test_a_file_that_is_here_is_not_fetched(server, here, files, capsys):
    shutil.copytree(files, here / "weights")
    paths = arrival.directories(PAIR)
    assert server.asked == []
    assert paths["tokenizer"] == str(arrival.folder() / NAMES[0])
    file = here / "weights" / published.FILES[NAMES[0]].file
    assert f"{NAMES[0]} (Apache-2.0): {file.relative_to(here)} is converted" in (
        capsys.readouterr().out
    )


def test_directories_and_names_of_parts_go_before_the_pair(server):
    nets = {"name": "maskgit512", "tokenizer": NAMES[0], "transformer": "my/net"}
    assert arrival.directories(nets) == {
        "tokenizer": str(arrival.folder() / NAMES[0]),
        "transformer": "my/net",
    }
    assert arrival.chosen({"name": "maskgit256", "tokenizer": "", "gan": "weights/G_ema"}) == {
        "tokenizer": NAMES[0],
        "gan": "weights/G_ema",
    }


def cure(*names):
    folders = " and ".join(f"weights/{name}" for name in names)
    return f"and copy the folders {folders} that this makes to {arrival.folder()}."


def sentence(backbone):
    with pytest.raises(UserError) as error:
        arrival.directories(backbone)
    text = str(error.value)
    assert "\n" not in text and text.count(". ") == 0
    return text


def test_offline_says_what_to_carry_over(server, offline, capsys):
    text = sentence(PAIR)
    assert (
        "--offline forbids to fetch it; give `python -m vpt_gen.convert --name=maskgit256` on"
        in (text)
    )
    assert text.endswith(cure(*NAMES))
    text = sentence({"tokenizer": "taming_f16_1024"})
    assert "`python -m vpt_gen.convert --name=taming_f16_1024` on" in text
    assert text.endswith(cure("taming_f16_1024"))
    assert server.asked == [] and capsys.readouterr().out == ""


def test_no_network_says_the_same_and_how_to_resume(server):
    server.shutdown()
    server.server_close()
    text = sentence(PAIR)
    assert "cannot be fetched (ConnectionError); give the same command again to resume, or" in text
    assert text.endswith(cure(*NAMES))


def test_a_small_disk_is_said_before_anything_is_fetched(server, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=10**9)
    monkeypatch.setattr(arrival.shutil, "disk_usage", lambda path: usage)
    assert "need 1,818 MB" in sentence(PAIR) and "1,000 MB are free" in sentence(PAIR)
    assert server.asked == []


def test_pairs_are_of_files_that_fit_each_other():
    for backbone in published.BACKBONES.values():
        tokenizer, transformer = (READERS[published.FILES[x].kind][0] for x in backbone.files)
        assert tokenizer in tokenizers()
        assert NETS[transformer].family == backbone.family
    assert not published.BACKBONES.keys() & published.FILES.keys()
