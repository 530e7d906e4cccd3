"""Fetching of published weights: progress kept, damage found, files looked up."""

import base64
import hashlib
import http.server
import os
import re
import threading

import pytest

from vpt_gen.checkpoints.released import fetching, published
from vpt_gen.errors import UserError

CONTENT = bytes(range(256)) * 40
OTHER = CONTENT[::-1]  # another version, as long
TAG, DATE = '"v1"', "Wed, 21 Oct 2015 07:28:00 GMT"


class Server(http.server.BaseHTTPRequestHandler):
    """Serves `content` at any address as RFC 9110 has it; attributes make it misbehave."""

    ranges: list = []  # the headers Range and If-Range of every request
    content = CONTENT
    validators: dict = {"ETag": TAG}
    md5 = base64.b64encode(hashlib.md5(CONTENT).digest()).decode()
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    cut_after = None
    forced: dict = {}  # headers sent instead of the right ones; None for none
    heeds_if_range = True
    heeds_range = True
    status = None

    def do_GET(self):
        if "missing" in self.path:
            self.send_error(404)
            return
        if "redirected" in self.path:  # As Hugging Face does.
            self.send_response(302)
            self.send_header("X-Linked-ETag", f'"{self.sha256}"')
            self.send_header("Location", "/net")
            self.end_headers()
            return
        asked = self.headers.get("Range") if self.heeds_range else None
        condition = self.headers.get("If-Range")
        self.ranges.append((self.headers.get("Range"), condition))
        if self.heeds_if_range and condition not in (None, *self.validators.values()):
            asked = None
        first = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.answer(first, len(self.content), partial=asked is not None)

    def answer(self, first, total, partial):
        beyond = first >= total
        place = f"*/{total}" if beyond else f"{first}-{total - 1}/{total}"
        headers = {
            "Content-Length": "0" if beyond else str(total - first),
            "x-goog-hash": f"crc32c=AAAAAA==,md5={self.md5}" if self.md5 else None,
            **({"Content-Range": f"bytes {place}"} if partial else {}),
            **self.validators,
            **(self.forced if partial else {}),
        }
        self.send_response(self.status or ((416 if beyond else 206) if partial else 200))
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.content[first : self.cut_after])

    def log_message(self, *unused):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(Server, "ranges", [])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture
def broken(server, tmp_path, monkeypatch):
    """The path of a file of which 4000 bytes have come."""
    monkeypatch.setattr(Server, "md5", "")  # so that no checksum hides what is put together
    return break_off(server, tmp_path / "net", monkeypatch)


def break_off(server, path, monkeypatch):
    monkeypatch.setattr(fetching, "_CHUNK", 1000)  # what is lost of a broken chunk is small
    with monkeypatch.context() as patch:
        patch.setattr(Server, "cut_after", 4000)
        with pytest.raises(UserError, match="give the same command again to resume"):
            fetching.fetch(f"{server}/net", path)
    assert path.with_name("net.part").stat().st_size == 4000
    assert not path.exists()
    Server.ranges.clear()
    return path


def enter(monkeypatch, address, sha256=""):
    entry = published.Published("maskgit_tokenizer", "net", address, 1, "testing", "MIT", sha256)
    monkeypatch.setitem(published.FILES, "net", entry)


def test_a_file_is_fetched_once_and_noted(server, tmp_path, monkeypatch):
    enter(monkeypatch, f"{server}/net")
    path = published.obtain("net", str(tmp_path / "weights"))
    assert path.read_bytes() == CONTENT
    assert published.obtain("net", str(tmp_path / "weights")) == path
    assert len(Server.ranges) == 1
    path.write_bytes(b"changed")
    with pytest.raises(UserError, match="is not the file that was fetched"):
        published.obtain("net", str(tmp_path / "weights"))


def change(path, content):
    """Changes a file, of which neither the length nor the time tells."""
    assert len(content) == path.stat().st_size
    time = path.stat().st_mtime_ns
    path.write_bytes(content)
    os.utime(path, ns=(time, time))


def test_an_untouched_file_is_not_read_again(server, tmp_path, monkeypatch):
    enter(monkeypatch, f"{server}/net")
    path = published.obtain("net", str(tmp_path))
    change(path, OTHER)
    assert published.obtain("net", str(tmp_path)) == path
    os.utime(path, ns=(0, 0))
    with pytest.raises(UserError, match="is not the file that was fetched"):
        published.obtain("net", str(tmp_path))


@pytest.mark.parametrize("older", ["copy", "note"])
def test_a_file_is_known_again_once_it_was_compared(older, server, tmp_path, monkeypatch):
    enter(monkeypatch, f"{server}/net")
    path = published.obtain("net", str(tmp_path))
    if older == "copy":  # Has another time.
        os.utime(path, ns=(0, 0))
    else:  # Notes of before held the digest alone.
        path.with_name("net.sha256").write_text(Server.sha256)
    published.obtain("net", str(tmp_path))
    change(path, OTHER)
    published.obtain("net", str(tmp_path))


def test_a_file_beside_a_note_of_before_is_read(server, tmp_path, monkeypatch):
    enter(monkeypatch, f"{server}/net")
    path = published.obtain("net", str(tmp_path))
    path.with_name("net.sha256").write_text(Server.sha256)
    change(path, OTHER)
    with pytest.raises(UserError, match="is not the file that was fetched"):
        published.obtain("net", str(tmp_path))


def test_a_broken_download_goes_on(server, broken):
    fetching.fetch(f"{server}/net", broken)
    assert broken.read_bytes() == CONTENT
    assert Server.ranges == [("bytes=4000-", TAG)]
    assert broken.with_name("net.sha256").read_text().split()[0] == Server.sha256
    assert sorted(path.name for path in broken.parent.iterdir()) == ["net", "net.sha256"]


@pytest.mark.parametrize(
    ("validators", "condition"),
    [
        ({"Last-Modified": DATE}, DATE),
        ({"ETag": f"W/{TAG}", "Last-Modified": DATE}, DATE),
        ({"ETag": TAG, "Last-Modified": DATE}, TAG),
    ],
)
def test_the_version_is_named_by_a_strong_tag_or_the_date(
    server, tmp_path, monkeypatch, validators, condition
):
    monkeypatch.setattr(Server, "validators", validators)
    path = break_off(server, tmp_path / "net", monkeypatch)
    fetching.fetch(f"{server}/net", path)
    assert path.read_bytes() == CONTENT
    assert Server.ranges == [("bytes=4000-", condition)]


@pytest.mark.parametrize("validators", [{}, {"ETag": f"W/{TAG}"}])
def test_what_names_no_version_starts_anew(server, tmp_path, monkeypatch, validators):
    monkeypatch.setattr(Server, "validators", validators)
    path = break_off(server, tmp_path / "net", monkeypatch)
    fetching.fetch(f"{server}/net", path)
    assert path.read_bytes() == CONTENT
    assert Server.ranges == [(None, None)]


@pytest.mark.parametrize("note", [None, "", "[1]", '{"address": "x"}', "{}"])
def test_a_partial_file_without_a_note_starts_anew(server, tmp_path, note):
    (tmp_path / "net.part").write_bytes(b"of who knows what")
    if note is not None:
        (tmp_path / "net.part.json").write_text(note)
    fetching.fetch(f"{server}/net", tmp_path / "net")
    assert (tmp_path / "net").read_bytes() == CONTENT
    assert Server.ranges == [(None, None)]


def test_a_partial_file_of_another_address_starts_anew(server, broken):
    fetching.fetch(f"{server}/moved", broken)
    assert broken.read_bytes() == CONTENT
    assert Server.ranges == [(None, None)]


@pytest.mark.parametrize("heeds_if_range", [True, False])
def test_another_version_at_the_server_starts_anew(server, broken, monkeypatch, heeds_if_range):
    monkeypatch.setattr(Server, "content", OTHER)
    monkeypatch.setattr(Server, "validators", {"ETag": '"v2"'})
    monkeypatch.setattr(Server, "heeds_if_range", heeds_if_range)
    fetching.fetch(f"{server}/net", broken)
    assert broken.read_bytes() == OTHER


def test_a_whole_answer_to_a_part_asked_for_starts_anew(server, broken, monkeypatch):
    monkeypatch.setattr(Server, "heeds_range", False)
    fetching.fetch(f"{server}/net", broken)
    assert broken.read_bytes() == CONTENT
    assert len(Server.ranges) == 1


@pytest.mark.parametrize(
    "forced",
    [
        {"Content-Range": "bytes 0-10239/10240"},
        {"Content-Range": "bytes 4000-10240/10241"},
        {"Content-Range": None},
        {"Content-Range": "nonsense"},
        {"Content-Encoding": "br"},
    ],
)
def test_a_part_that_does_not_follow_starts_anew(server, broken, monkeypatch, forced):
    monkeypatch.setattr(Server, "forced", forced)
    fetching.fetch(f"{server}/net", broken)
    assert broken.read_bytes() == CONTENT
    assert Server.ranges == [("bytes=4000-", TAG), (None, None)]


def test_a_part_of_unstated_total_is_taken(server, broken, monkeypatch):
    monkeypatch.setattr(Server, "forced", {"Content-Range": "bytes 4000-10239/*", "ETag": None})
    fetching.fetch(f"{server}/net", broken)
    assert broken.read_bytes() == CONTENT
    assert Server.ranges == [("bytes=4000-", TAG)]


def test_a_complete_partial_file_is_not_fetched_again(server, broken):
    broken.with_name("net.part").write_bytes(CONTENT)
    fetching.fetch(f"{server}/net", broken)
    assert broken.read_bytes() == CONTENT
    assert Server.ranges == [("bytes=10240-", TAG)]


@pytest.mark.parametrize(
    ("here", "forced"),
    [
        (CONTENT + b"more", {}),
        (OTHER, {"Content-Range": None}),
        (OTHER, {"Content-Range": "bytes */10241"}),
        (OTHER, {"ETag": '"v2"'}),
        (OTHER, {"ETag": None}),
    ],
)
def test_nothing_beyond_is_no_proof_of_a_complete_file(server, broken, monkeypatch, here, forced):
    broken.with_name("net.part").write_bytes(here)
    monkeypatch.setattr(Server, "forced", forced)
    monkeypatch.setattr(Server, "heeds_if_range", False)
    fetching.fetch(f"{server}/net", broken)
    assert broken.read_bytes() == CONTENT
    assert [asked for asked, _ in Server.ranges] == [f"bytes={len(here)}-", None]


def test_a_note_that_promised_more_bytes_is_heeded(server, broken, monkeypatch):
    broken.with_name("net.part").write_bytes(OTHER[:5000])
    monkeypatch.setattr(Server, "content", CONTENT[:5000])  # same tag, and shorter by now
    fetching.fetch(f"{server}/net", broken)
    assert broken.read_bytes() == CONTENT[:5000]


def test_the_size_at_the_end_is_the_promised_one(server, tmp_path, monkeypatch):
    append = fetching._Partial.append

    def with_others(partial, *args):
        """As if another process wrote to the same file."""
        append(partial, *args)
        with open(partial.path, "ab") as file:
            file.write(b"x")

    monkeypatch.setattr(fetching._Partial, "append", with_others)
    with pytest.raises(UserError, match="arrived damaged"):
        fetching.fetch(f"{server}/net", tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [204, 206])
def test_an_answer_that_is_no_whole_file_is_none(server, tmp_path, monkeypatch, status):
    monkeypatch.setattr(Server, "status", status)
    with pytest.raises(UserError, match="cannot be fetched"):
        fetching.fetch(f"{server}/net", tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_a_checksum_of_the_publisher_is_compared(server, tmp_path, monkeypatch, capsys):
    enter(monkeypatch, f"{server}/net", Server.sha256)
    path = published.obtain("net", str(tmp_path))
    assert "has the SHA-256 that its publisher states" in capsys.readouterr().out
    path.write_bytes(OTHER)
    path.with_name("net.sha256").unlink()  # as a file that somebody put there
    with pytest.raises(UserError, match="is not the published file"):
        published.obtain("net", str(tmp_path))
    path.unlink()
    enter(monkeypatch, f"{server}/net", "0" * 64)
    with pytest.raises(UserError, match="is not the published file"):
        published.obtain("net", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_note_of_a_download_does_not_stand_for_the_publisher(server, tmp_path, monkeypatch):
    enter(monkeypatch, f"{server}/net")
    published.obtain("net", str(tmp_path))
    enter(monkeypatch, f"{server}/net", "0" * 64)
    with pytest.raises(UserError, match="is not the published file"):
        published.obtain("net", str(tmp_path))


@pytest.mark.parametrize(
    ("address", "md5", "sentence"),
    [
        ("net", Server.md5, "has the MD5 that its server sent; no SHA-256"),
        ("redirected", "", "has the SHA-256 that its server sent; no SHA-256"),
        ("net", "", "could not be verified"),
    ],
)
def test_what_was_compared_is_said(server, tmp_path, monkeypatch, capsys, address, md5, sentence):
    monkeypatch.setattr(Server, "md5", md5)
    enter(monkeypatch, f"{server}/{address}")
    published.obtain("net", str(tmp_path))
    assert f"net {sentence}" in capsys.readouterr().out


def test_pinned_checksums_are_whole_and_shown(monkeypatch):
    known = [entry.sha256 for entry in published.FILES.values() if entry.sha256]
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in known)
    assert published.table().count("| none |") == len(published.FILES) - len(known)
    enter(monkeypatch, "https://x", "ab" * 32)
    assert f"| `{'ab' * 32}` |" in published.table()


def test_what_arrives_damaged_is_not_kept(server, tmp_path, monkeypatch):
    monkeypatch.setattr(Server, "md5", base64.b64encode(bytes(16)).decode())
    with pytest.raises(UserError, match="arrived damaged"):
        fetching.fetch(f"{server}/net", tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_the_checksum_of_a_redirection_is_compared(server, tmp_path, monkeypatch):
    fetching.fetch(f"{server}/redirected", tmp_path / "net")
    assert (tmp_path / "net").read_bytes() == CONTENT
    monkeypatch.setattr(Server, "sha256", "0" * 64)
    with pytest.raises(UserError, match="arrived damaged"):
        fetching.fetch(f"{server}/redirected", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_no_network_and_unknown_names_are_said(server, tmp_path):
    with pytest.raises(UserError, match=f"put it at {tmp_path / 'net'}"):
        fetching.fetch(f"{server}/missing", tmp_path / "net")
    with pytest.raises(UserError, match="No published weights are called 'x'"):
        published.obtain("x", str(tmp_path))


def test_every_kind_has_a_reader():
    from vpt_gen.checkpoints.released import READERS

    assert {entry.kind for entry in published.FILES.values()} <= set(READERS)
