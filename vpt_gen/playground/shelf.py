"""The runs of a page: each is opened once, whoever looks at it."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from vpt_gen.config.check import check_decoding
from vpt_gen.decode import decoders
from vpt_gen.errors import UserError
from vpt_gen.playground.settings import OPTIONS
from vpt_gen.runs.opened import TunedRun, open_run
from vpt_gen.runs.stored import newest_step

# Runs in memory, and ways to decode of each that stay compiled.
_RUNS, _DECODERS = 2, 8


class Shelf:
    """Opens the runs that a page may use, and no others."""

    def __init__(self, checkpoints: Sequence[str], tokenizer: str = "", transformer: str = ""):
        """Remembers what to open, see `runs.opened.open_run`; opens nothing."""
        self.checkpoints = list(dict.fromkeys(checkpoints))
        self._moved = {"tokenizer": tokenizer, "transformer": transformer}
        self._open = functools.lru_cache(_RUNS)(
            lambda checkpoint, step: Book(open_run(checkpoint, step, tokenizer, transformer))
        )

    def newest(self, checkpoint: str) -> int | None:
        """Returns the newest update that a run has saved, also while it trains; None of a file."""
        self._check(checkpoint)
        return newest_step(checkpoint)

    def take(self, checkpoint: str, step: int | None) -> "Book":
        """Returns a run at an update.

        Raises:
          UserError: a run that the page does not have, or that cannot be opened.
        """
        self._check(checkpoint)
        try:
            return self._open(checkpoint, step)
        except UserError:
            if step is None or step == newest_step(checkpoint):
                raise
        raise UserError(f"{checkpoint} has been trained further: reload the page.")

    def source(self, checkpoint: str, step: int | None) -> dict[str, Any]:
        """Returns the flags of a command that opens a run as this page does, in any folder."""
        of_step = {} if step is None else {"step": step}
        paths = {"checkpoint": checkpoint, **self._moved}
        spelled = {name: _from_anywhere(path) for name, path in paths.items() if path}
        return {"checkpoint": spelled.pop("checkpoint"), **of_step, **spelled}

    def _check(self, checkpoint: str) -> None:
        if checkpoint not in self.checkpoints:
            raise UserError(f"This page was not started with --checkpoint={checkpoint}.")


def _from_anywhere(path: str) -> str:
    """Makes a path on this machine absolute; addresses and published names stay as they are."""
    here = pathlib.Path(path).expanduser()
    return str(here.absolute()) if here.exists() else path


class Book:
    """A run in memory, and what a page needs to know about it."""

    def __init__(self, run: TunedRun):
        self.run = run
        self.decoding = functools.lru_cache(_DECODERS)(self._decoding)

    @property
    def has_classes(self) -> bool:
        """Whether images are chosen by class, and not by training image."""
        return not self.run.has_prompts or bool(self.run.token_sampler.method.num_classes)

    def subjects(self) -> list[str]:
        """Returns the labels of what can be drawn, by number."""
        names = list(self.run.facts["class_names"])
        if self.has_classes:
            return names
        labels = self.run.facts["instance_labels"]
        return [f"image {i} ({names[label]})" for i, label in enumerate(labels)]

    def decoders(self) -> list[str]:
        """Returns the names of the decoders that work with the run's transformer, its own first."""
        if not self.run.sampler.has_tokens:
            return []
        known = decoders.of_net(self.run.token_sampler.transformer)
        own = self.run.config.decode.get("decoder", known[0])
        return sorted(known, key=lambda name: name != own)

    def options(self, decoder: str) -> list[str]:
        """Returns the options of a decoder that have a control."""
        own = decoders.own_options(decoder) if decoder else []
        return [name for name in OPTIONS if name in own]

    def changed(self, options: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
        """Returns what of the options differs from the run's config."""
        chosen = dict(options)
        decode = self.run.config.decode
        if decode.get("guidance") and "guidance" not in chosen:
            chosen["guidance"] = 0.0  # The decoder has none.
        # A family with one decoder has no field for its name.
        return {name: x for name, x in chosen.items() if name in decode and decode[name] != x}

    def _decoding(self, options: tuple[tuple[str, Any], ...]) -> TunedRun:
        """Returns the run with other options of decoding; UserError for impossible ones."""
        changed = self.changed(options)
        config = ConfigDict(self.run.config.to_dict())
        config.decode.update(changed)
        check_decoding(config)
        sampler = self.run.sampler.with_options(**changed) if changed else self.run.sampler
        return dataclasses.replace(self.run, config=config, sampler=sampler)
