"""Fetching of published weights: progress kept, damage found, files looked up."""

import base64
import hashlib
import http.server
import threading

import pytest

from vpt_gen.checkpoints.released import published
from vpt_gen.errors import UserError

CONTENT = bytes(range(256)) * 40


class Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT at any address, from a byte on where asked; notes the ranges asked for."""

    ranges: list = []
    md5 = base64.b64encode(hashlib.md5(CONTENT).digest()).decode()
    cut_after = None

    def do_GET(self):
        if "missing" in self.path:
            self.send_error(404)
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


def test_what_arrives_damaged_is_not_kept(server, tmp_path, monkeypatch):
    monkeypatch.setattr(Server, "md5", base64.b64encode(bytes(16)).decode())
    with pytest.raises(UserError, match="arrived damaged"):
        published.fetch(f"{server}/net", tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_no_network_and_unknown_names_are_said(server, tmp_path):
    with pytest.raises(UserError, match=f"put it at {tmp_path / 'net'}"):
        published.fetch(f"{server}/missing", tmp_path / "net")
    with pytest.raises(UserError, match="No published weights are called 'x'"):
        published.obtain("x", str(tmp_path))


def test_every_kind_has_a_reader():
    from vpt_gen.checkpoints.released import READERS

    assert {entry.kind for entry in published.FILES.values()} <= set(READERS)
