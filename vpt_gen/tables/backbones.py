"""`python -m vpt_gen.tables.backbones`: which backbone fits which machine, and how long it takes.

Prints the tables of README.md and docs/weights.md: of every published backbone and of the shipped
sources, the size, the cost of tuning prompts to 100 images with the backbone's own config, and
what to set if that needs too much memory. Everything is counted, nothing is run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from vpt_gen import cli
from vpt_gen.machine import later
from vpt_gen.tables.chips import MACHINES, Machine

with later.imports(globals()):
    import jax

    from vpt_gen.tables.candidates import Candidate, candidates
    from vpt_gen.tables.costs import num_params, tuning_flops
    from vpt_gen.tables.fit import (
        fitting,
        own_settings,
        sampling_memory,
        tuning_memory,
        tuning_seconds,
    )
    from vpt_gen.tables.method_sizes import size

_MINUTE, _DAY = 60, 86400
# What README.md shows: of each kind of model, those that fit a laptop or a T4.
_SHORT = (
    "demo",
    "photos",
    "titok_l32",
    "halton_tiny",
    "halton_base",
    "maskgit256",
    "llamagen_b_256",
    "rar_b",
)


def facts_table(choices: Sequence[Candidate]) -> str:
    """Formats what each backbone is, and its work per image."""
    head = (
        "backbone | transformer | tokenizer | pixels | tokens | codes | license | FID of its own "
        "samples | trained | an update, TFLOPs per image | drawing, TFLOPs per image"
    )
    rows = []
    for choice in choices:
        model, update = choice.model, tuning_flops(choice.model, "none")
        rows.append(
            [
                _title(choice),
                _millions(num_params(model.net)),
                _millions(size(choice.tokenizer_shapes)),
                str(choice.config.data.image_size),
                str(model.num_tokens),
                f"{model.net.codebook_size:,}",
                choice.license,
                _fid(choice),
                f"{size(choice.state.params):,}",
                _digits(update / 1e12),
                _digits((choice.drawing.flops + choice.detokenizing.flops) / 1e12),
            ]
        )
    return _table(head, rows)


def tuning_table(choices: Sequence[Candidate]) -> str:
    """Formats memory, and the minutes on every machine, with what must be set to fit."""
    rows = [
        [
            _title(choice),
            f"{choice.config.num_steps:,} x {choice.config.batch_size}",
            _gigabytes(tuning_memory(choice, own_settings(choice))),
            _gigabytes(sampling_memory(choice)),
            *(_minutes(choice, machine, with_settings=True) for machine in MACHINES.values()),
        ]
        for choice in choices
    ]
    heads = " | ".join(MACHINES)
    return _table(f"backbone | updates x batch | tuning, GB | sampling, GB | {heads}", rows)


def short_table(choices: Sequence[Candidate]) -> str:
    """Formats the choice in six columns, for README.md: of all backbones, those of `_SHORT`."""
    rows = [
        [
            _title(choice),
            f"{choice.config.data.image_size} ({choice.model.num_tokens})",
            _millions(num_params(choice.model.net)),
            f"{choice.license}, {_fid(choice)}",
            _gigabytes(tuning_memory(choice, own_settings(choice))),
            " / ".join(_minutes(choice, machine) for machine in MACHINES.values()),
        ]
        for choice in choices
        if choice.name in _SHORT
    ]
    return _table(
        "backbone | pixels (tokens) | parameters | license, FID | tuning, GB | minutes on "
        + " / ".join(MACHINES),
        rows,
    )


def machines_table() -> str:
    """Formats what is assumed of the machines."""
    rows = [
        [
            name if machine.count == 1 else f"{name} ({machine.count} chips)",
            *(f"{x / 1e12:,.3g}" for x in (machine.float32, machine.bfloat16, machine.exact)),
            f"{machine.memory / 1e9:.0f} GB",
            f"{machine.available:.0%}",
            machine.source,
        ]
        for name, machine in MACHINES.items()
    ]
    return _table(
        "machine | float32, TFLOP/s of a device | bfloat16 | exact float32 | memory | available | "
        "source",
        rows,
    )


# Page -> its tables of backbones.
TABLES: Mapping[str, tuple[Callable[[Sequence[Candidate]], str], ...]] = {
    "README.md": (short_table,),
    "docs/weights.md": (facts_table, tuning_table),
}


def _title(choice: Candidate) -> str:
    return f"`{choice.name}`" if choice.published else choice.name


def _fid(choice: Candidate) -> str:
    """Formats what the publishers state, with its source."""
    if choice.published is None or not choice.published.fid:
        return "none stated"
    return f"[{choice.published.fid}](https://{choice.published.source})"


def _millions(number: int) -> str:
    return f"{number / 1e6:,.1f} M" if number < 1e7 else f"{number / 1e6:,.0f} M"


def _gigabytes(number: int) -> str:
    return _digits(number / 1e9)


def _digits(number: float) -> str:
    """Formats two significant digits: an estimate has no more."""
    if number >= 99.5:
        digits = 1 - math.floor(math.log10(number))
        return f"{round(number, digits):,.0f}"
    return f"{number:.2g}"


def _minutes(choice: Candidate, machine: Machine, with_settings: bool = False) -> str:
    settings = fitting(choice, machine)
    if settings is None:
        return "does not fit"
    time = _time(tuning_seconds(choice, settings, machine))
    changes = settings.changes(own_settings(choice)) if with_settings else {}
    return ", ".join([time, *(f"`{name}={value}`" for name, value in changes.items())])


def _time(seconds: float) -> str:
    """Formats minutes, or days if they are many."""
    if seconds > 2 * _DAY:
        return f"{_digits(seconds / _DAY)} days"
    return _digits(seconds / _MINUTE) if seconds > _MINUTE else "<1"


def _table(head: str, rows: list[list[str]]) -> str:
    columns = [cell.strip() for cell in head.split("|")]
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main():
    """Prints all tables."""
    jax.config.update("jax_platforms", "cpu")  # only shapes are computed, on any machine
    choices = candidates()
    for page, tables in TABLES.items():
        print(f"For {page}:", *(table(choices) for table in tables), sep="\n\n", end="\n\n")
    print(machines_table())


if __name__ == "__main__":
    cli.run(main)
