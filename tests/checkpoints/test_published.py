"""Fetching of published weights: progress kept, damage found, files looked up."""

import base64
import hashlib
import http.server
import os
import threading

import pytest

from vpt_gen.checkpoints.released import published
from vpt_gen.errors import UserError

CONTENT = bytes(range(256)) * 40


class Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT at any address, from a byte on where asked; notes the ranges asked for."""

    ranges: list = []
    md5 = base64.b64encode(hashlib.md5(CONTENT).digest()).decode()
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    cut_after = None

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
        asked = self.headers.get("Range")
        self.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.send_header("x-goog-hash", f"crc32c=AAAAAA==,md5={self.md5}")
        self.end_headers()
        self.wfile.write(CONTENT[start : self.cut_after])

    def log_message(self, *unused):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(Server, "ranges", [])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_file_is_fetched_once_and_noted(server, tmp_path, monkeypatch):
    entry = published.Published("maskgit_tokenizer", "net", f"{server}/net", 1, "testing")
    monkeypatch.setitem(published.FILES, "net", entry)
    path = published.obtain("net", str(tmp_path / "weights"))
    assert path.read_bytes() == CONTENT
    assert published.obtain("net", str(tmp_path / "weights")) == path
    assert len(Server.ranges) == 1
    path.write_bytes(b"changed")
    with pytest.raises(UserError, match="is not the file that was fetched"):
        published.obtain("net", str(tmp_path / "weights"))


def test_an_untouched_file_is_not_read_again(server, tmp_path, monkeypatch):
    entry = published.Published("maskgit_tokenizer", "net", f"{server}/net", 1, "testing")
    monkeypatch.setitem(published.FILES, "net", entry)
    path = published.obtain("net", str(tmp_path))
    reads, digest = [], hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *x: reads.append(x) or digest(*x))
    published.obtain("net", str(tmp_path))
    assert not reads
    # A copy has another time, and once compared is known again.
    os.utime(path, ns=(0, 0))
    published.obtain("net", str(tmp_path))
    published.obtain("net", str(tmp_path))
    assert len(reads) == 1
    # Notes of before held the digest alone.
    path.with_name("net.sha256").write_text(Server.sha256)
    published.obtain("net", str(tmp_path))
    assert len(reads) == 2
    path.write_bytes(CONTENT[::-1])  # As long as before.
    with pytest.raises(UserError, match="is not the file that was fetched"):
        published.obtain("net", str(tmp_path))


def test_a_broken_download_goes_on(server, tmp_path, monkeypatch):
    path = tmp_path / "net"
    monkeypatch.setattr(published, "_CHUNK", 1000)  # what is lost of a broken chunk is small
    monkeypatch.setattr(Server, "cut_after", 4000)
    with pytest.raises(UserError, match="give the same command again to go on"):
        published.fetch(f"{server}/net", path)
    assert not path.exists()
    monkeypatch.setattr(Server, "cut_after", None)
    published.fetch(f"{server}/net", path)
    assert path.read_bytes() == CONTENT
    assert Server.ranges == [None, "bytes=4000-"]
    noted = path.with_name("net.sha256").read_text()
    assert noted.split()[0] == Server.sha256


def test_what_arrives_damaged_is_not_kept(server, tmp_path, monkeypatch):
    monkeypatch.setattr(Server, "md5", base64.b64encode(bytes(16)).decode())
    with pytest.raises(UserError, match="arrived damaged"):
        published.fetch(f"{server}/net", tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_the_checksum_of_a_redirection_is_compared(server, tmp_path, monkeypatch):
    published.fetch(f"{server}/redirected", tmp_path / "net")
    assert (tmp_path / "net").read_bytes() == CONTENT
    monkeypatch.setattr(Server, "sha256", "0" * 64)
    with pytest.raises(UserError, match="arrived damaged"):
        published.fetch(f"{server}/redirected", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_no_network_and_unknown_names_are_said(server, tmp_path):
    with pytest.raises(UserError, match=f"put it at {tmp_path / 'net'}"):
        published.fetch(f"{server}/missing", tmp_path / "net")
    with pytest.raises(UserError, match="No published weights are called 'x'"):
        published.obtain("x", str(tmp_path))


def test_every_kind_has_a_reader():
    from vpt_gen.checkpoints.released import READERS

    assert {entry.kind for entry in published.FILES.values()} <= set(READERS)
