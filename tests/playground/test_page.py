"""The page as a browser shows it, and what it serves to whoever asks.

Skipped without Gradio, playwright or Debian's chromium (`pip install -e .[playground,browser]`).
"""

import contextlib
import http.client
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
import zipfile

import jax
import numpy as np
import pytest
from PIL import Image

from tests import programs
from tests.export.test_export import make_run
from vpt_gen.checkpoints.store import Store

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium (apt install chromium)"),
]
pytest.importorskip("gradio", reason="the page needs gradio")
sync_api = pytest.importorskip("playwright.sync_api", reason="a browser needs playwright")
PATIENCE = 60  # seconds, for what compiles


@pytest.fixture(scope="module")
def runs(tiny_nets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shown")
    fast = {"decode.num_iterations": 4}
    first = make_run(folder / "first", tiny_nets, **fast)
    return [first, make_run(folder / "second", tiny_nets, ("rings", "dots", "lines"), **fast)]


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("log") / "log"


@pytest.fixture(scope="module")
def port(runs, log):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vpt_gen.playground", f"--port={port}"]
    command += [f"--checkpoint={run}" for run in runs]
    with log.open("w") as file:
        server = subprocess.Popen(
            command, cwd=programs.ROOT, env=programs.environment(), stdout=file, stderr=file
        )
    try:
        end = time.monotonic() + PATIENCE
        while "Open http" not in log.read_text():
            assert server.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.2)
        yield port
    finally:
        server.send_signal(2)  # Ctrl-C
        server.wait(30)
    assert "/vpt_gen/" not in log.read_text(), log.read_text()  # A traceback of ours.


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        # Chromium refuses its sandbox to root.
        arguments = [] if os.geteuid() else ["--no-sandbox"]
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield made
        made.close()


@pytest.fixture
def visit(browser, port):
    """Opens the page as somebody else each time; nothing may be wrong with it at the end."""
    address, wrong, pages = f"http://127.0.0.1:{port}/", [], []

    def opened(width=1280, height=900):
        page = browser.new_page(viewport={"width": width, "height": height})
        pages.append(page)
        page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        ours = (address, "data:", "blob:")
        page.on("request", lambda r: None if r.url.startswith(ours) else wrong.append(r.url))
        page.set_default_timeout(1000 * PATIENCE)
        page.goto(address)
        page.wait_for_selector("#about :text('update')")
        return page

    yield opened
    for page in pages:
        page.close()
    assert wrong == []


def shown(page, name):
    """Waits for results; returns the command, and the files of the archive."""
    page.wait_for_function(
        "name => document.querySelector(`#${name}_command textarea`).value", arg=name
    )
    with page.expect_download() as download:
        page.click(f"#{name}_download")
    with zipfile.ZipFile(download.value.path()) as file:
        files = {entry: file.read(entry) for entry in file.namelist()}
    command = page.input_value(f"#{name}_command textarea")
    assert files.pop("command.txt").decode() == f"{command}\n"
    return command, files


def tab_to(page, selector):
    """Moves the focus as a keyboard does."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("to => document.activeElement.closest(to) !== null", selector):
            return
    raise AssertionError(f"{selector} is out of a keyboard's reach")


def choose(page, control, option):
    page.click(f"#{control} input")
    page.click(f"[role=option]:has-text('{option}')")


def test_images_are_generated_by_keyboard_alone(visit):
    page = visit()
    tab_to(page, "#seed")
    page.keyboard.press("Control+a")
    page.keyboard.type("7")
    tab_to(page, "#num_iterations input[type=range]")
    page.keyboard.press("ArrowLeft")
    tab_to(page, "#generate")
    page.keyboard.press("Enter")
    command, files = shown(page, "generated")
    assert "--seed=7" in command and "--set=num_iterations=3" in command
    names = [f"{name}_{i:04d}.png" for name in ("bars", "discs") for i in range(4)]
    assert list(files) == names
    assert page.locator("#generated img").count() == 8
    assert page.evaluate("document.querySelector('#order img').naturalWidth") > 0


def test_a_drawn_mask_is_repainted_and_the_command_repeats_it(visit, tmp_path):
    page = visit()
    page.click("[role=tab]:has-text('Repaint')")
    colors = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    image = np.kron(colors, np.ones((32, 32, 1), np.uint8))
    Image.fromarray(image).save(tmp_path / "mine.png")
    empty = page.inner_text("#editor")
    page.locator("#editor input[type=file]").first.set_input_files(tmp_path / "mine.png")
    page.wait_for_function(  # The editor fits the image into its place, and shows by how much.
        "empty => document.querySelector('#editor').innerText !== empty", arg=empty
    )
    page.wait_for_timeout(1500)
    box = page.locator("#editor canvas").first.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2 - 40, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 40, middle, steps=8)
    page.mouse.up()
    page.click("#repaint")
    command, files = shown(page, "repainted")
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    given, mask = (np.asarray(Image.open(tmp_path / x)) for x in ("image.png", "mask.png"))
    np.testing.assert_array_equal(given, image)
    assert 0.02 < (mask > 0).mean() < 0.5
    painted = [name for name in files if name.startswith("image_")]
    assert len(painted) == 8
    for name in painted:
        result = np.asarray(Image.open(tmp_path / name))
        np.testing.assert_array_equal(result[mask == 0], image[mask == 0])
        assert (result[mask > 0] != image[mask > 0]).mean() > 0.5
    again = subprocess.run(
        [sys.executable, *shlex.split(command)[1:]],
        cwd=tmp_path,
        env=programs.environment(),
        capture_output=True,
        text=True,
    )
    assert again.returncode == 0, again.stderr
    for name in painted:
        assert (tmp_path / "played" / name).read_bytes() == files[name]


def test_two_visitors_with_different_runs_do_not_mix(visit, runs):
    one, other = visit(), visit(width=390, height=844)
    choose(other, "checkpoint", runs[1].name)
    other.wait_for_selector("#about :text('3 classes')")
    for page in (one, other):
        page.fill("#seed input", "3" if page is one else "4")
        page.click("#generate")
    (first, ours), (second, theirs) = (shown(page, "generated") for page in (one, other))
    assert f"--checkpoint={runs[0]}" in first and "--seed=3" in first and "bars_0000.png" in ours
    assert f"--checkpoint={runs[1]}" in second and "--seed=4" in second
    assert {name.split("_")[0] for name in theirs} == {"rings", "dots", "lines"}
    assert other.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_mistake_is_one_sentence_on_the_page(visit):
    page = visit()
    page.fill("#num input[type=number]", "60")
    page.click("#generate")
    page.wait_for_selector("text=2 classes with 60 images each are more than 64")


def test_the_controls_follow_the_decoder(visit):
    page = visit()
    page.wait_for_selector("#guidance")
    choose(page, "decoder", "masked")
    page.wait_for_selector("#guidance", state="hidden")
    page.wait_for_selector("#num_iterations")


def test_loading_again_opens_the_newest_checkpoint(visit, runs):
    before = visit()
    with contextlib.closing(Store(str(runs[0]))) as store:
        moved = jax.tree.map(lambda x: x + 0.1, store.restore_params())
        store.save(2, {"params": moved})
    after = visit()
    for page, step in ((before, 1), (after, 2)):
        page.wait_for_selector(f"#about :text('update {step},')")
        page.click("#generate")
        command, _ = shown(page, "generated")
        assert f"--step={step} " in command


def ask(port, path, body=None):
    """Sends a path as it is, which clients would tidy up; returns status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Content-Type": "application/json"} if body else {}
    content = json.dumps(body) if body else None
    connection.request("POST" if body else "GET", path, content, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_no_other_file_is_served(port, runs):
    secret = runs[0] / "config.json"
    assert ask(port, "/config")[0] == 200
    root, below = programs.ROOT, "/.." * 12
    for prefix in ("/gradio_api/file=", "/file=", "/gradio_api/file/", "/static", "/assets"):
        for path in (
            "/etc/passwd",
            f"{below}/etc/passwd",
            f"{below.replace('/', '%2f')}%2fetc%2fpasswd",
            "file:///etc/passwd",
            str(secret),
            f"{root}/setup.cfg",
            "setup.cfg",
        ):
            status, content = ask(port, prefix + path)
            assert status >= 400, prefix + path
            assert b"root:" not in content and b"install_requires" not in content


def test_a_file_named_in_a_request_is_not_read(port, runs, log):
    """A picture of this machine is not an upload, whoever says so."""
    events = json.loads(ask(port, "/config")[1])["dependencies"]
    load = next(e for e in events if len(e["inputs"]) == 1 and len(e["outputs"]) > 5)
    repaint = next(e for e in events if len(e["inputs"]) > 10 and len(e["outputs"]) == 3)
    path = str(programs.ROOT / "docs" / "report.png")
    picture = {"path": path, "meta": {"_type": "gradio.FileData"}}
    editor = {"background": picture, "layers": [picture], "composite": picture, "id": None}
    values = [str(runs[0]), None, [0], 1, 0, "halton", 4, 1, 0, -1, 6, editor, 0]
    assert len(values) == len(repaint["inputs"])
    answers = []
    for event, data in ((load, values[:1]), (repaint, values)):
        body = {"data": data, "fn_index": event["id"], "session_hash": "stranger"}
        assert ask(port, "/gradio_api/queue/join", body)[0] == 200
        said = ask(port, "/gradio_api/queue/data?session_hash=stranger")[1].decode()
        answers.append('"success":true' in said.replace(" ", ""))
    assert answers == [True, False]
    assert f"InvalidPathError: Cannot move {path}" in log.read_text()
