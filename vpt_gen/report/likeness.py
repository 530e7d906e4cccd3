"""Part of the section on prompts: which of the source's own classes they act like."""

from collections.abc import Sequence

import numpy as np

from vpt_gen.report.html import Node, h, table
from vpt_gen.runs.likeness import Likeness
from vpt_gen.runs.opened import TunedRun

_SHOWN = 3


def num_source_classes(run: TunedRun) -> int:
    """Returns the number of the source's own classes; 0 if it has none, or does not tell."""
    return len(_names(run)) or run.token_sampler.transformer.known_classes or 0


def _names(run: TunedRun) -> Sequence[str]:
    return run.nets["transformer"].about.get("class_names", ())


def likeness_part(run: TunedRun, classes: np.ndarray, found: Sequence[Likeness]) -> list[Node]:
    """Shows the source classes that act most like each class; nothing if the source has none.

    Args:
      run: of prompts.
      classes: (n,) of the run.
      found: of each, see `runs.likeness.likenesses`.
    """
    if not found:
        return []
    names = _names(run)

    def said(number: int, divergence: float) -> str:
        name = names[number] if number < len(names) else f"class {number}"
        return f"{name} ({divergence:.2f})"

    rows = [
        [run.facts["class_names"][label], *(said(*alike) for alike in one[:_SHOWN])]
        for label, one in zip(classes.tolist(), found, strict=True)
    ]
    return [
        h("h3", "Which classes of the source do the prompts act like?"),
        h(
            "p",
            "The source's own classes whose predictions of hidden tokens, in images of the class, "
            "are nearest to those under its prompt; in brackets the divergence (Kullback-Leibler, "
            "nats per token; 0: the same). A large number says that the prompt has learned what no "
            "class of the source does.",
        ),
        table(
            ["class", "most alike", "second", "third"],
            [row + [""] * (4 - len(row)) for row in rows],
        ),
    ]
