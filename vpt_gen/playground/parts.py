"""The components of the page that show and edit images."""

from typing import Any

import gradio as gr


def results(name: str) -> list[Any]:
    """Makes the images, their command and a button for their files."""
    gallery = gr.Gallery(
        label="Images",
        format="png",
        columns=4,
        buttons=["download", "fullscreen"],
        elem_id=name,
        interactive=False,
        object_fit="contain",
        type="numpy",
    )
    command = gr.Textbox(
        label="The command that repeats them",
        lines=2,
        buttons=["copy"],
        interactive=False,
        elem_id=f"{name}_command",
    )
    download = gr.DownloadButton(
        "Download the PNG files", interactive=False, elem_id=f"{name}_download"
    )
    return [gallery, command, download]


def picture(label: str) -> gr.Image:
    """Makes a place for a picture."""
    return gr.Image(
        label=label, format="png", interactive=False, elem_id="order", buttons=["download"]
    )


def editor() -> gr.ImageEditor:
    """Makes what a mask is drawn in."""
    return gr.ImageEditor(
        label="Draw on an image what is to be repainted",
        format="png",
        type="numpy",
        sources=("upload", "clipboard"),
        transforms=(),
        layers=False,
        buttons=[],
        brush=gr.Brush(colors=["#ff2d87"], color_mode="fixed"),
        elem_id="editor",
    )
