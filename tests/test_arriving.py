"""From nothing to images: `main` fetches, is killed, resumes, converts, tunes; `sample` draws."""

import os
import signal
import subprocess
import sys
import time

import pytest
from absl import flags

from tests import made, publishers
from tests.jobs import free_port
from tests.programs import ROOT, environment, flags_of, train
from vpt_gen import main
from vpt_gen.checkpoints.released import published
from vpt_gen.errors import UserError

pytestmark = pytest.mark.slow

SIZES = [
    "--config=configs/folder.py:maskgit256",
    "--config.data.image_size=32",
    "--config.data.cache_views=1",
    "--config.num_steps=1",
    "--config.batch_size=4",
    "--config.decode.num_iterations=2",
]
# A mistake that is found as soon as the nets are there: what follows is not the subject.
MISTAKE, TOLD = "--config.best_metric=loss", "best_metric needs held-out examples"
FILES = [published.FILES[name].file for name in published.BACKBONES["maskgit256"].files]


@pytest.fixture
def server(tmp_path):
    with publishers.serving(publishers.write_small(tmp_path / "publisher")) as running:
        yield running


def start(server, cache, program, *arguments, cwd=ROOT):
    """Starts a program of ours that finds the publishers at the server."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.publishers", server.address, program, *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**environment(), "VPT_GEN_CACHE": str(cache)},
    )


def finish(process, code=0):
    told, _ = process.communicate(timeout=600)
    assert process.returncode == code, told
    return told


@pytest.fixture(scope="module", autouse=True)
def waiting(tmp_path_factory):
    """Two hosts that begin before the file's other tests: one fetches what does not come.

    They wait while those run, so that the last test has less to wait for.
    """
    folder = tmp_path_factory.mktemp("waiting")
    with publishers.serving(publishers.write_small(folder / "publisher")) as server:
        server.stall_after = 1 << 18
        processes = hosts(server, folder, "cache", "cache")
        yield server, processes
        for process in processes:
            process.kill()
            process.communicate()


@pytest.fixture
def train_here(server, tmp_path, monkeypatch, capsys):
    """Trains in this process, as `start(server, tmp_path / "cache", "vpt_gen.main")` does."""
    monkeypatch.setenv("VPT_GEN_CACHE", str(tmp_path / "cache"))
    for name, file in publishers.addressed(server.address).items():
        monkeypatch.setitem(published.FILES, name, file)

    def run(*arguments):
        with flags_of(main, *arguments):
            train(flags.FLAGS.config, flags.FLAGS.workdir)
        return capsys.readouterr().out

    return run


def training(tmp_path):
    data = tmp_path / "data"
    if not data.exists():
        made.write_folder(data, count=4, side=32)
    return [*SIZES, f"--config.data.path={data}", f"--workdir={tmp_path / 'run'}"]


def test_from_nothing_to_images(server, tmp_path, train_here):
    cache, command = tmp_path / "cache", training(tmp_path)

    # Nothing is fetched for data that are not there.
    nowhere = [x.replace("/data", "/nowhere") for x in command]
    with pytest.raises(UserError, match="nowhere"):
        train_here(*nowhere)
    assert not server.asked

    # Killed in the middle of the first file.
    server.stall_after = 1 << 20
    killed = start(server, cache, "vpt_gen.main", *command)
    assert server.stalled.wait(300), killed.communicate()
    part = cache / "weights" / f"{FILES[0]}.part"
    while not (part.exists() and part.stat().st_size):
        assert killed.poll() is None
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not list((cache / "weights").glob("*/net.json"))
    server.stall_after = None
    server.ended.set()

    told = train_here(*command)
    assert "maskgit256_tokenizer (Apache-2.0): 217 MB are fetched from 127.0.0.1" in told
    begun, resumed, other = server.asked
    assert begun == (FILES[0], None) and other == (FILES[1], None)
    assert resumed[0] == FILES[0] and resumed[1].startswith("bytes=")
    assert "has the MD5 that its server sent" in told

    # Again from the cache: sampling, and the same command.
    options = ["--num=1", "--set=num_iterations=2", "--offline"]
    told = finish(
        start(server, cache, "vpt_gen.sample", f"--checkpoint={tmp_path / 'run'}", *options)
    )
    assert "Wrote 2 images" in told and "fetched" not in told
    train_here(*command, "--offline")
    picture = tmp_path / "preview.png"
    options = ["--backbone=maskgit256", "--num=1", "--classes=0", f"--output={picture}"]
    finish(start(server, cache, "vpt_gen.preview", *options))
    assert picture.exists() and len(server.asked) == 3


def test_files_are_carried_over_as_the_sentence_says(server, tmp_path, train_here):
    cache, command = tmp_path / "cache", [*training(tmp_path), "--offline", MISTAKE]
    with pytest.raises(UserError) as raised:
        train_here(*command)
    told = str(raised.value)
    given = told.split("`")[1].split()
    assert given[:2] == ["python", "-m"] and not server.asked
    folders = told.split("copy the folders ")[1].split(" that this makes")[0].split(" and ")

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environ = {**environment(), "VPT_GEN_CACHE": str(tmp_path / "other")}
    subprocess.run(
        [sys.executable, "-m", "tests.publishers", server.address, *given[2:]],
        cwd=elsewhere,
        env=environ,
        check=True,
    )
    (cache / "weights").mkdir(parents=True, exist_ok=True)
    for folder in folders:
        os.rename(elsewhere / folder, cache / "weights" / os.path.basename(folder))
    with pytest.raises(UserError, match=TOLD):
        train_here(*command)
    assert sorted(name for name, _ in server.asked) == sorted(FILES)


def hosts(server, tmp_path, *caches):
    """Processes of one training, each with its cache folder; none begins to train."""
    address = f"--coordinator_address=127.0.0.1:{free_port()}"
    together = ["--distributed", f"--num_processes={len(caches)}", address, *training(tmp_path)]
    together.append(MISTAKE)
    return [
        start(server, tmp_path / cache, "vpt_gen.main", *together, f"--process_id={number}")
        for number, cache in enumerate(caches)
    ]


def test_hosts_that_share_no_cache_are_told(server, tmp_path):
    first, second = hosts(server, tmp_path, "cache", "other")
    assert "set VPT_GEN_CACHE to a folder that all hosts share" in finish(second, code=2)
    assert "set VPT_GEN_CACHE to a folder that all hosts share" in finish(first, code=2)


def test_hosts_end_together_if_nothing_can_be_fetched(server, tmp_path):
    server.shutdown()
    server.server_close()
    first, second = hosts(server, tmp_path, "cache", "cache")
    assert "The first process of the run cannot go on" in finish(second, code=2)
    assert "cannot be fetched (ConnectionError)" in finish(first, code=2)


def test_of_several_hosts_one_fetches_and_the_others_wait_however_long(waiting):
    server, (first, second) = waiting
    assert server.stalled.wait(300)
    # A collective of gloo waits for 30 seconds.
    time.sleep(max(0, server.stalled_at + 40 - time.monotonic()))
    for process in (first, second):
        assert process.poll() is None, process.communicate()
    server.ended.set()
    told, others = finish(first, code=2), finish(second, code=2)
    assert TOLD in told and TOLD in others
    assert "are fetched from" in told and "fetch" not in others
    assert sorted(name for name, _ in server.asked) == sorted(FILES)
