"""`python -m vpt_gen.limits`: prints the ranges of all numbers, the tables of docs/limits.md."""

import collections
import itertools
from collections.abc import Callable, Iterator, Mapping

from absl import flags
from ml_collections import ConfigDict

from vpt_gen import cli, gallery, preview, reconstruct, sample, walk
from vpt_gen import main as training
from vpt_gen.benchmark import __main__ as benchmark
from vpt_gen.data import speed
from vpt_gen.edit import __main__ as edit
from vpt_gen.evaluate import flags as evaluate
from vpt_gen.export import __main__ as export
from vpt_gen.machine import later
from vpt_gen.machine.number_flags import NumberParser
from vpt_gen.playground import __main__ as playground
from vpt_gen.ranges import Range
from vpt_gen.report import __main__ as report

with later.imports(globals()):
    from vpt_gen.config.fields import FAMILIES, TASKS, default_config
    from vpt_gen.config.ranges import config_ranges, table_ranges
    from vpt_gen.config.repeat import flatten
    from vpt_gen.nets import tokenizers
    from vpt_gen.study.config import FIELDS as STUDY_FIELDS

# Those with flags that take numbers.
PROGRAMS: dict[str, Callable[[], None]] = {
    "main": training.define_flags,
    "sample": sample.define_flags,
    "evaluate": evaluate.define_flags,
    "edit": edit.define_flags,
    "export": export.define_flags,
    "report": report.define_flags,
    "gallery": gallery.define_flags,
    "preview": preview.define_flags,
    "reconstruct": reconstruct.define_flags,
    "walk": walk.define_flags,
    "playground": playground.define_flags,
    "benchmark": benchmark.define_flags,
    "data.speed": speed.define_flags,
}


def flag_ranges(define_flags: Callable[[], None]) -> dict[str, Range]:
    """Returns the ranges of a program's flags that take numbers."""
    others = set(flags.FLAGS)
    define_flags()
    own = [name for name in flags.FLAGS if name not in others]
    parsers = {name: flags.FLAGS[name].parser for name in own}
    for name in own:
        delattr(flags.FLAGS, name)
    return {n: parser.range for n, parser in parsers.items() if isinstance(parser, NumberParser)}


def every_config() -> Iterator[ConfigDict]:
    """Yields the default config of every task, family and pretrained tokenizer."""
    for task, family in itertools.product(TASKS, FAMILIES):
        for net in tokenizers() if task == "tokenizer" else ("",):
            yield default_config(task, family, net)


def fields_table() -> str:
    """Formats the ranges of all fields of runs' configs."""
    found: dict[str, dict[str, list[str]]] = {}
    for config in every_config():
        fields = flatten(config.to_dict())
        for name, of in config_ranges(config).items():
            if name in fields:
                families = found.setdefault(name, {}).setdefault(str(of), [])
                family = config.get("family", "")
                families += [] if family in families else [family]
    words = {
        name: "; ".join(f"{of} ({', '.join(families)})" for of, families in ranges.items())
        if len(ranges) > 1
        else next(iter(ranges))
        for name, ranges in found.items()
    }
    return _table("field of a run", words)


def study_table() -> str:
    """Formats the ranges of a study's fields."""
    words = {name: str(of) for name, of in table_ranges(STUDY_FIELDS).items()}
    return _table("field of a study", words)


def flags_table() -> str:
    """Formats the ranges of all programs' flags."""
    programs = collections.defaultdict(list)
    for program, define_flags in PROGRAMS.items():
        for name, of in flag_ranges(define_flags).items():
            programs[name, str(of)].append(program)
    lines = ["| flag | of | range |", "|---|---|---|"]
    for (name, words), users in sorted(programs.items()):
        lines.append(f"| `--{name}` | {', '.join(users)} | {words} |")
    return "\n".join(lines)


def _table(head: str, ranges: Mapping[str, str]) -> str:
    rows = (f"| `{name}` | {of} |" for name, of in sorted(ranges.items()))
    return "\n".join([f"| {head} | range |", "|---|---|", *rows])


def main():
    """Prints all tables."""
    print(fields_table(), study_table(), flags_table(), sep="\n\n")


if __name__ == "__main__":
    cli.run(main)
