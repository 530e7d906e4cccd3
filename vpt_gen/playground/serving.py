"""Serves a page to browsers, and none of the machine's other files."""

from __future__ import annotations

import ipaddress
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vpt_gen.errors import UserError
from vpt_gen.machine.progress import say

if TYPE_CHECKING:
    import gradio

LOOPBACK = "127.0.0.1"
# Of an upload, and people who may wait at a time.
_UPLOAD, _WAITING = "10mb", 16


@contextmanager
def own_folder() -> Iterator[str]:
    """Makes the only folder that a page reads and writes, and removes it at the end.

    Gradio reads where it is when it is imported, so that this comes first.
    """
    with tempfile.TemporaryDirectory(prefix="vpt_gen_playground_") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # It would tell its makers of each start.
        yield folder


def is_loopback(host: str) -> bool:
    """Whether an address to listen at is reached from this machine only."""
    if host.casefold() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:  # A name, which others may know.
        return False


def launch(page: gradio.Blocks, host: str, port: int, **options: Any) -> str:
    """Starts to serve a page in the background; returns its address.

    Args:
      page: to serve; one event at a time, the others wait.
      host: the address to listen at, see `is_loopback`.
      port: to listen at.
      options: of Gradio's `launch`.

    Raises:
      UserError: the port is taken, or the host is not of this machine.
    """
    page.queue(max_size=_WAITING, default_concurrency_limit=1)
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            max_file_size=_UPLOAD,
            allowed_paths=[],
            ssr_mode=False,
            mcp_server=False,
            enable_monitoring=False,
            footer_links=[],
            **options,
        )
    except OSError as error:
        raise UserError(
            f"Cannot listen at {host}, port {port}: {error}. Choose another --port or --host."
        ) from error
    if not is_loopback(host):
        say(f"Note: everybody who reaches {host} can use the page.")
    return address
