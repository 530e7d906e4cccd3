"""`python -m vpt_gen.benchmark --size=maskgit256`: measures speed and its share of the limit.

Every program is compiled and run in its own process, in turns with the reference implementation and
with programs that measure the device's best rates. docs/benchmark.md explains the output.
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
from vpt_gen.machine.files import check_output, write_text
from vpt_gen.machine.progress import say
from vpt_gen.nets.stack import REMAT
from vpt_gen.training.compute import DTYPES, SCAN_LAYERS

_WHAT = (*PROGRAMS, "growth")


def define_flags() -> None:
    """Defines the flags; not at import, so that programs can share a process."""
    flags.DEFINE_list(
        "what",
        ["tune", "decode"],
        f"What to measure, of {', '.join(_WHAT)}. tune: a step of prompt tuning on cached tokens "
        "(the reference tokenizes in the step); gradient and forward: its transformer's part.",
    )
    flags.DEFINE_enum("size", "demo", list(SIZES), "The model; weights are random.")
    flags.DEFINE_integer("batch", 1, "Images at a time.", lower_bound=1)
    flags.DEFINE_integer("num_prompt_tokens", 0, "S; 0 for the size's own.", lower_bound=0)
    flags.DEFINE_integer("num_iterations", 12, "Iterations T of parallel decoding.", lower_bound=1)
    flags.DEFINE_list("decoders", ["confidence"], "Parallel decoders, see docs/decoders.md.")
    flags.DEFINE_integer(
        "num_tokens", 0, "Tokens to decode one by one; 0 for a whole image.", lower_bound=0
    )
    flags.DEFINE_enum("dtype", "float32", DTYPES, "config.compute.dtype of ours.")
    flags.DEFINE_enum("remat", "none", list(REMAT), "config.compute.remat of ours.")
    flags.DEFINE_enum("scan_layers", "auto", SCAN_LAYERS, "config.compute.scan_layers of ours.")
    flags.DEFINE_bool("alone", False, "Measure only ours, without the reference.")
    flags.DEFINE_integer("repeat", 5, "Runs of each program.", lower_bound=1)
    flags.DEFINE_string("output", "benchmark.json", "JSON file for all measurements.")


def main():
    """Runs the program; its flags are parsed."""
    values = flags.FLAGS
    output = pathlib.Path(values.output)
    check_output(output, "--output")
    unknown = [what for what in values.what if what not in _WHAT]
    if unknown:
        raise UserError(f"--what={unknown[0]} is not known; use {', '.join(_WHAT)}.")
    if "growth" in values.what and SIZES[values.size].transformer.family == "ar":
        raise UserError("--what=growth measures a MaskGIT: use --size=demo or maskgit256.")
    results = [measure(what, values) for what in values.what]
    record = {
        "command": cli.command("vpt_gen.benchmark"),
        "machine": platform.platform(),
        "processor": processor(),
        "versions": {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax")},
        "results": results,
    }
    write_text(output, json.dumps(record, indent=1))
    say(f"All measurements: {output}")


if __name__ == "__main__":
    cli.run(main, define_flags)
