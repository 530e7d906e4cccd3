"""Files go to the Hub and come from it by huggingface_hub's own requests."""

import hashlib

import pytest
from huggingface_hub import constants

from tests import hub_server
from vpt_gen.checkpoints import hub
from vpt_gen.checkpoints.released import published
from vpt_gen.errors import UserError
from vpt_gen.machine import network

DIGITS = hub.parse("hf://me/digits")
FILES = {"tuned.safetensors": b"\x00weights\xff", "README.md": b"---\ntags:\n- jax\n---\n# Card\n"}


@pytest.fixture
def served(monkeypatch, tmp_path):
    with hub_server.serving() as (server, address):
        hub_server.use(monkeypatch, address, tmp_path / "cache")
        yield server


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "folder").mkdir()
    for name, content in {**FILES, "private.txt": b"mine"}.items():
        (tmp_path / "folder" / name).write_bytes(content)
    return tmp_path / "folder"


def test_pushed_files_are_those_of_the_folder_and_no_others(served, folder):
    address = hub.push(folder, list(FILES), "me/digits", private=True)
    assert served.commits["me/digits"][-1] == FILES
    assert served.private["me/digits"]
    assert address.endswith(served.revision("me/digits"))


def test_a_pushed_file_is_fetched_once(served, folder, monkeypatch):
    hub.push(folder, list(FILES), "me/digits", private=False)
    path = hub.fetch(DIGITS)
    assert path.read_bytes() == FILES["tuned.safetensors"]
    assert hub.fetch(hub.parse("hf://me/digits/README.md")).read_bytes() == FILES["README.md"]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub.fetch(DIGITS) == path


def test_offline_nothing_is_asked(served, folder, monkeypatch):
    hub.push(folder, list(FILES), "me/digits", private=False)
    monkeypatch.setattr(network, "is_offline", lambda: True)
    with pytest.raises(network.UnreachableError, match="is not in the cache"):
        hub.fetch(DIGITS)


def test_damage_in_the_cache_is_found(served, folder):
    hub.push(folder, list(FILES), "me/digits", private=False)
    path = hub.fetch(DIGITS)
    assert hub.compare(path)  # With the SHA-256 that the Hub states.
    assert hub.compare(path, hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(UserError, match="is damaged: its SHA-256 is .*, not 000"):
        hub.compare(path, "0" * 64)
    with open(path.resolve(), "r+b") as file:
        file.write(b"damaged")
    with pytest.raises(UserError, match="is damaged"):
        hub.compare(path)


def test_urls_of_the_hub_are_known():
    url = "https://huggingface.co/someone/nets/resolve/main/folder/net.bin"
    assert hub.parse_url(url) == hub.HubFile("someone/nets", "main", "folder/net.bin")
    assert hub.parse_url("https://storage.googleapis.com/a/resolve/main/b") is None
    on_hub = [x.address for x in published.FILES.values() if "huggingface" in x.address]
    assert on_hub and all(hub.parse_url(address) for address in on_hub)


def test_a_second_push_is_a_second_commit_and_revisions_stay(served, folder):
    hub.push(folder, list(FILES), "me/digits", private=False)
    first = served.revision("me/digits")
    (folder / "tuned.safetensors").write_bytes(b"better")
    hub.push(folder, list(FILES), "me/digits", private=False)
    assert hub.fetch(DIGITS).read_bytes() == b"better"
    assert served.commits["me/digits"][int(first, 16)] == FILES


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf://me/none", "hf://me/none/tuned.safetensors does not exist, or is private"),
        ("hf://me/digits/none.safetensors", "the repository has no such file"),
    ],
)
def test_what_is_not_there_is_named(served, folder, address, message):
    hub.push(folder, list(FILES), "me/digits", private=False)
    with pytest.raises(UserError, match=message):
        hub.fetch(hub.parse(address))


def test_without_a_network_the_cure_is_named(monkeypatch, tmp_path, folder):
    hub_server.use(monkeypatch, "http://127.0.0.1:9", tmp_path / "cache")  # Nobody answers there.
    with pytest.raises(UserError, match="^hf://me/digits: .*refused; check the network"):
        hub.push(folder, list(FILES), "me/digits", private=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="cannot be fetched; check the network"):
        hub.fetch(DIGITS)


def test_a_wrong_token_is_named(served, folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(UserError, match="^hf://me/digits: .*401"):
        hub.push(folder, list(FILES), "me/digits", private=False)


def test_what_keeps_a_push_from_working_is_said_before(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    hub.check_push("me/digits")
    with pytest.raises(UserError, match="--push=digits must be <owner>/<repository>"):
        hub.check_push("digits")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(UserError, match="--push needs a token: log in"):
        hub.check_push("me/digits")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        hub.check_push("me/digits")


@pytest.mark.parametrize(
    ("address", "parsed"),
    [
        ("hf://me/a.b", ("me/a.b", None, "tuned.safetensors")),
        ("hf://me/a@v1", ("me/a", "v1", "tuned.safetensors")),
        ("hf://me/a@v1/sub/b.safetensors", ("me/a", "v1", "sub/b.safetensors")),
    ],
)
def test_addresses(address, parsed):
    assert hub.parse(address) == hub.HubFile(*parsed)


@pytest.mark.parametrize("address", ["hf://", "hf://me", "hf:///a", "hf://me/a b"])
def test_other_forms_are_refused(address):
    with pytest.raises(UserError, match="is no address of a file"):
        hub.parse(address)
