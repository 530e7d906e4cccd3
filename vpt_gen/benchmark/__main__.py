"""`python -m vpt_gen.benchmark --size=maskgit256`: how fast, how near to the limit.

Every program is compiled and run in a process of its own, in turns with the released way of doing
the same and with what the device reaches at best. docs/benchmark.md says what is what.
"""

import importlib.metadata
import json
import pathlib
import platform

from absl import flags

from vpt_gen import cli
from vpt_gen.benchmark.measuring import measure, processor
from vpt_gen.benchmark.programs import PROGRAMS
from vpt_gen.benchmark.sizes import SIZES
from vpt_gen.errors import UserError
from vpt_gen.machine.files import write_text
from vpt_gen.machine.progress import say
from vpt_gen.nets.stack import REMAT
from vpt_gen.training.compute import DTYPES, SCAN_LAYERS

_WHAT = (*PROGRAMS, "growth")


def define_flags() -> None:
    """The command line; not at import, so that programs can share a process."""
    flags.DEFINE_list(
        "what",
        ["tune", "decode"],
        f"What to measure, of {', '.join(_WHAT)}. tune is a step of prompt tuning on cached tokens "
        "(the released way tokenizes in the step); gradient and forward: its transformer's part.",
    )
    flags.DEFINE_enum("size", "demo", list(SIZES), "The model; weights are random.")
    flags.DEFINE_integer("batch", 1, "Images at a time.", lower_bound=1)
    flags.DEFINE_integer("num_prompt_tokens", 0, "S; 0 is the size's own.", lower_bound=0)
    flags.DEFINE_integer("num_iterations", 12, "T of parallel decoding.", lower_bound=1)
    flags.DEFINE_list("decoders", ["confidence"], "Of parallel decoding, see docs/decoders.md.")
    flags.DEFINE_integer(
        "num_tokens", 0, "Tokens to decode one by one; 0 is a whole image.", lower_bound=0
    )
    flags.DEFINE_enum("dtype", "float32", DTYPES, "Our way's config.compute.dtype.")
    flags.DEFINE_enum("remat", "none", list(REMAT), "Our way's config.compute.remat.")
    flags.DEFINE_enum("scan_layers", "auto", SCAN_LAYERS, "Our way's config.compute.scan_layers.")
    flags.DEFINE_bool("alone", False, "Leave out what ours is compared with.")
    flags.DEFINE_integer("repeat", 5, "Runs of each program.", lower_bound=1)
    flags.DEFINE_string("output", "benchmark.json", "File for everything that was measured.")


def main():
    """Runs the program; its flags are parsed."""
    values = flags.FLAGS
    unknown = [what for what in values.what if what not in _WHAT]
    if unknown:
        raise UserError(f"--what={unknown[0]} is not known; it is of {', '.join(_WHAT)}.")
    if "growth" in values.what and SIZES[values.size].transformer.family == "ar":
        raise UserError("--what=growth measures a MaskGIT: --size=demo or maskgit256.")
    results = [measure(what, values) for what in values.what]
    record = {
        "command": cli.command("vpt_gen.benchmark"),
        "machine": platform.platform(),
        "processor": processor(),
        "versions": {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax")},
        "results": results,
    }
    write_text(pathlib.Path(values.output), json.dumps(record, indent=1))
    say(f"Everything that was measured: {values.output}")


if __name__ == "__main__":
    cli.run(main, define_flags)
