"""The controls that say what to draw, and how they fit a run."""

import dataclasses
from typing import Any

import gradio as gr

from vpt_gen.playground.asked import NO_CLASS
from vpt_gen.playground.settings import OPTIONS, Images, Kept, Stages
from vpt_gen.playground.shelf import Book, Shelf
from vpt_gen.ranges import Seed, range_of

# Classes that are chosen at first.
_FIRST = 4
_NO_OTHER = ("no other class", NO_CLASS)


@dataclasses.dataclass(frozen=True)
class Controls:
    """The components; `step` is of each visitor, and not seen."""

    checkpoint: gr.Dropdown
    step: gr.State
    about: gr.Markdown
    subjects: gr.Dropdown
    num: gr.Slider
    seed: gr.Number
    decoder: gr.Dropdown
    options: list[Any]
    start: gr.Dropdown
    stages: gr.Slider

    def of_run(self) -> list[Any]:
        """Returns those that `open_run` fits."""
        return [
            self.step,
            self.about,
            self.subjects,
            self.decoder,
            *self.options,
            self.start,
            self.stages,
        ]

    def all(self) -> list[Any]:
        """Returns those that `asked.read` reads."""
        chosen = [self.checkpoint, self.step, self.subjects, self.num, self.seed]
        return [*chosen, self.decoder, *self.options, self.start, self.stages]


def make(checkpoints: list[str]) -> Controls:
    """Makes the controls, for any run."""
    return Controls(
        gr.Dropdown(checkpoints, value=checkpoints[0], label="Run", elem_id="checkpoint"),
        gr.State(None),
        gr.Markdown(elem_id="about"),
        gr.Dropdown([], multiselect=True, label="Classes", elem_id="classes"),
        _slider("Images of each", Images, 4, 1, elem_id="num"),
        gr.Number(0, label="Seed", precision=0, elem_id="seed", minimum=0, maximum=_high(Seed)),
        gr.Dropdown([], label="Decoder", elem_id="decoder"),
        [_slider(*of, visible=False, elem_id=name) for name, of in _sliders().items()],
        gr.Dropdown([_NO_OTHER], value=NO_CLASS, label="Marquee: start from", elem_id="start"),
        _slider("Stages until the class has full weight", Stages, 6.0, 0.5, elem_id="stages"),
    )


def keep() -> gr.Slider:
    """Makes the control of how much of a masked part stays."""
    return _slider("Keep: share of its tokens that stay", Kept, 0.0, 0.05, elem_id="keep")


def open_run(shelf: Shelf, checkpoint: str) -> list[Any]:
    """Opens the newest checkpoint of a run; returns its step, and the controls as they fit it."""
    step = shelf.newest(checkpoint)
    book = shelf.take(checkpoint, step)
    subjects = [(name, number) for number, name in enumerate(book.subjects())]
    known = book.decoders()
    decoder = known[0] if known else ""
    marquee = book.run.has_prompts and book.has_classes
    about = f"{book.run.config.task}, update {book.run.step:,}, {len(subjects)} classes"
    return [
        step,
        about,
        gr.Dropdown(choices=subjects, value=[number for _, number in subjects[:_FIRST]]),
        gr.Dropdown(choices=known, value=decoder or None, visible=len(known) > 1),
        *_options(book, decoder),
        gr.Dropdown(
            choices=[_NO_OTHER, *(subjects if marquee else ())],
            value=NO_CLASS,
            visible=marquee,
        ),
        gr.Slider(visible=marquee),
    ]


def fit_decoder(shelf: Shelf, checkpoint: str, step: int | None, decoder: str) -> list[Any]:
    """Returns the options' controls: those that a decoder has are shown, with their values."""
    own = shelf.take(checkpoint, step).options(decoder)
    return [gr.Slider(visible=name in own) for name in OPTIONS]


def _options(book: Book, decoder: str) -> list[Any]:
    own, values = book.options(decoder), book.run.config.decode
    return [
        gr.Slider(visible=name in own, **({"value": values[name]} if name in values else {}))
        for name in OPTIONS
    ]


def _sliders() -> dict[str, tuple[str, Any, float, float]]:
    return {
        name: (label, kind, range_of(kind).low, step)
        for name, (label, kind, step) in OPTIONS.items()
    }


def _slider(label: str, kind: Any, value: float, step: float, **more: Any) -> gr.Slider:
    of = range_of(kind)
    return gr.Slider(of.low, of.high, value=value, step=step, label=label, **more)


def _high(kind: Any) -> float:
    return range_of(kind).high
