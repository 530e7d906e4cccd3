"""`python -m vpt_gen.playground --checkpoint=runs/demo`: a local page to draw and repaint on.

Shows a page at http://127.0.0.1:7860 with the controls of `vpt_gen.sample` and `vpt_gen.edit`, and
the command that repeats each picture. Only this machine reaches it, unless --host says otherwise.
A run may still be training: loading the page again opens its newest checkpoint.
"""

from __future__ import annotations

import importlib.util
import time

from absl import flags

from vpt_gen import cli
from vpt_gen.errors import UserError
from vpt_gen.machine import later, network
from vpt_gen.machine.number_flags import define_number
from vpt_gen.machine.progress import say
from vpt_gen.playground import serving
from vpt_gen.ranges import Port
from vpt_gen.runs.request import CHECKPOINT

with later.imports(globals()):
    from vpt_gen.playground import page
    from vpt_gen.playground.shelf import Shelf

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags; not at import, so that programs can share a process."""
    flags.DEFINE_multi_string(
        "checkpoint", None, f"{CHECKPOINT} May be repeated, to choose on the page.", required=True
    )
    flags.DEFINE_string("host", serving.LOOPBACK, "Address to listen at; 0.0.0.0 is all networks.")
    define_number("port", 7860, Port, "Port to listen at.")
    flags.DEFINE_string("transformer", "", "The adapted transformer or BigGAN, if it has moved.")
    flags.DEFINE_string("tokenizer", "", "The frozen tokenizer, if it has moved.")
    network.define_flags()


def main():
    """Runs the program; its flags are parsed."""
    if importlib.util.find_spec("gradio") is None:
        raise UserError("The page needs Gradio; install it with `pip install -e .[playground]`.")
    shelf = Shelf(FLAGS.checkpoint, FLAGS.tokenizer, FLAGS.transformer)
    for checkpoint in reversed(shelf.checkpoints):  # What is missing is said at once.
        shelf.take(checkpoint, shelf.newest(checkpoint))
    with serving.own_folder() as folder:
        made = page.make_page(shelf, folder)
        address = serving.launch(made, FLAGS.host, FLAGS.port, css=page.STYLE)
        say(f"Open {address} in a browser; Ctrl-C ends it.")
        try:
            while True:
                time.sleep(3600)
        finally:
            made.close(verbose=False)


if __name__ == "__main__":
    cli.run(main, define_flags)
