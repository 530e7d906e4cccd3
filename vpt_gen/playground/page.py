"""The page: its controls, and what happens when they are used."""

import functools
from collections.abc import Callable
from typing import Any

import gradio as gr

from vpt_gen.errors import UserError
from vpt_gen.playground import asked, controls, parts
from vpt_gen.playground.drawing import Drawn, draw
from vpt_gen.playground.files import archive, of_editor
from vpt_gen.playground.painting import paint
from vpt_gen.playground.shelf import Shelf

TITLE = "vpt_gen playground"
# Side of an image to draw on, pixels; smaller results are enlarged.
_DRAWN_ON = 256
# Small images fill their place in a gallery.
STYLE = "#generated img, #repainted img {width: 100%; height: 100%; object-fit: contain}"
# All events wait in one queue: one draws at a time, however many people look.
_QUEUE: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "runs"}
_HIDDEN: dict[str, Any] = {"api_visibility": "private", **_QUEUE}


def make_page(shelf: Shelf, folder: str) -> gr.Blocks:
    """Makes the page of some runs; its files are written to `folder`."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.Markdown(f"# {TITLE}")
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                chosen = controls.make(shelf.checkpoints)
            with gr.Column(scale=2, min_width=280), gr.Tabs():
                with gr.Tab("Generate"):
                    button = gr.Button("Generate", variant="primary", elem_id="generate")
                    results, order = (
                        parts.results("generated"),
                        parts.picture("Order of the tokens"),
                    )
                with gr.Tab("Repaint"):
                    editor, keep = parts.editor(), controls.keep()
                    repainting = gr.Button("Repaint", variant="primary", elem_id="repaint")
                    repainted = parts.results("repainted")
        on = functools.partial(_shown, folder)
        opened = _told(functools.partial(controls.open_run, shelf))
        page.load(opened, chosen.checkpoint, chosen.of_run(), **_HIDDEN)
        # Not `input`, which Gradio also calls when the focus leaves.
        chosen.checkpoint.change(opened, chosen.checkpoint, chosen.of_run(), **_HIDDEN)
        fitted = _told(functools.partial(controls.fit_decoder, shelf))
        source = [chosen.checkpoint, chosen.step, chosen.decoder]
        chosen.decoder.change(fitted, source, chosen.options, **_HIDDEN)
        generate = _told(lambda *values: _generated(shelf, on, values))
        button.click(generate, chosen.all(), [*results, order], **_HIDDEN)
        repaint = _told(lambda *values: _repainted(shelf, on, values))
        repainting.click(repaint, [*chosen.all(), editor, keep], repainted, **_HIDDEN)
        results[0].select(_to_editor, results[0], editor, **_HIDDEN)
    return page


def _generated(shelf: Shelf, on: Callable, values: tuple) -> tuple:
    checkpoint, step, settings = asked.read(shelf, values)
    drawn = draw(shelf, checkpoint, step, settings)
    return (*on(drawn), drawn.order)


def _repainted(shelf: Shelf, on: Callable, values: tuple) -> tuple:
    *others, edited, keep = values
    checkpoint, step, settings = asked.read(shelf, tuple(others))
    image, mask = of_editor(edited)
    return on(paint(shelf, checkpoint, step, settings, image, mask, float(keep)))


def _shown(folder: str, drawn: Drawn) -> tuple:
    download = gr.DownloadButton(value=archive(drawn, folder), interactive=True)
    return [(image, name) for name, image in drawn.images.items()], drawn.command, download


def _to_editor(event: gr.SelectData, shown: list) -> dict[str, Any]:
    """Puts a result into the editor, large enough to draw on."""
    image = shown[event.index][0]
    factor = max(1, _DRAWN_ON // max(image.shape[:2]))
    large = image.repeat(factor, axis=0).repeat(factor, axis=1)
    return {"background": large, "layers": [], "composite": None}


def _told(event: Callable) -> Callable:
    """Shows what a user can fix on the page."""

    @functools.wraps(event)
    def tell(*values: Any) -> Any:
        try:
            return event(*values)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return tell
