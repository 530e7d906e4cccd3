"""A local server that plays the publishers of weights, and programs that fetch from it.

    python -m tests.publishers http://127.0.0.1:8000 vpt_gen.main --config=...

runs a program with the addresses of `published.FILES` on that server, under the files' names.
"""

import base64
import contextlib
import dataclasses
import hashlib
import http.server
import pathlib
import runpy
import sys
import threading
import time

import jax.numpy as jnp
import numpy as np
from flax import serialization

from vpt_gen.checkpoints.released import layout, published
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.vqgan import VQGAN

# As many codes as the published ones, which a file of a transformer does not tell.
SMALL = {
    "tokenizer": VQGAN(32, (1, 1, 1), 1, 8, 1024),
    "transformer": MaskGIT(1024, 4, 64, 1, 32, 2, 64),
}


class Publisher(http.server.ThreadingHTTPServer):
    """Serves a folder, with ranges, as Google's storage does.

    Attributes:
      asked: (file, header Range) of every request.
      stall_after: bytes of a file after which, until `ended`, a byte comes now and then: often
        enough for who waits for it not to give up. None: all of it.
      stalled_at: since when, as `time.monotonic` says it.
    """

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), _Answer)
        self.folder, self.asked, self.stall_after = pathlib.Path(folder), [], None
        self.stalled_at = None
        self.stalled, self.ended = threading.Event(), threading.Event()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.server.folder / self.path.lstrip("/")
        self.server.asked.append((path.name, self.headers.get("Range")))
        with open(path, "rb") as file:
            md5 = hashlib.file_digest(file, "md5").digest()
            tag, size = f'"{md5.hex()}"', path.stat().st_size
            asked = self.headers.get("Range") if self.headers.get("If-Range") == tag else None
            first = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            self.send_response(206 if asked else 200)
            if asked:
                self.send_header("Content-Range", f"bytes {first}-{size - 1}/{size}")
            self.send_header("Content-Length", str(size - first))
            self.send_header("ETag", tag)
            self.send_header("x-goog-hash", f"md5={base64.b64encode(md5).decode()}")
            self.end_headers()
            file.seek(first)
            with contextlib.suppress(ConnectionError):
                if self.server.stall_after is not None:
                    self.wfile.write(file.read(self.server.stall_after))
                    self.server.stalled_at = time.monotonic()
                    self.server.stalled.set()
                    while not self.server.ended.wait(5):
                        self.wfile.write(file.read(1))
                while chunk := file.read(1 << 20):
                    self.wfile.write(chunk)

    def log_message(self, *unused):
        pass


@contextlib.contextmanager
def serving(folder):
    """A running `Publisher` of a folder."""
    with Publisher(folder) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()


def addressed(server):
    """`published.FILES` with their addresses on a server: http://host:port."""
    return {
        name: dataclasses.replace(file, address=f"{server}/{file.file}", sha256="")
        for name, file in published.FILES.items()
    }


def write_small(folder):
    """Small random nets of 32 pixels, as the files of MaskGIT at 256 pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    tokens = jnp.zeros((1, 64), jnp.int32)
    examples = {
        "tokenizer": ((layout.image_batch(32),), {}),
        "transformer": ((tokens,), {"class_ids": tokens[:, 0]}),
    }
    for part, (given, named) in examples.items():
        shapes = layout.param_shapes(SMALL[part], *given, **named)
        params = {n: generator.normal(0, 0.1, s).astype(np.float32) for n, s in shapes.items()}
        content = serialization.msgpack_serialize({"params": layout.nest(params)})
        (folder / published.FILES[f"maskgit256_{part}"].file).write_bytes(content)
    return folder


if __name__ == "__main__":
    published.FILES.update(addressed(sys.argv[1]))
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
