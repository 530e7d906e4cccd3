"""`python -m vpt_gen.benchmark --size=maskgit256`: measures speed and its share of the limit.

Every program is compiled and run in its own process, in turns with the reference implementation and
with programs that measure the device's best rates. docs/benchmark.md explains the output.
"""

import importlib.metadata
import pathlib
import platform

from absl import flags

from vpt_gen import cli
from vpt_gen.errors import UserError
from vpt_gen.machine import later
from vpt_gen.machine.files import check_output, write_json
from vpt_gen.machine.number_flags import define_number
from vpt_gen.machine.progress import say
from vpt_gen.ranges import Count, CountOrZero, NotNegative, SizeOrZero

with later.imports(globals()):
    from vpt_gen.benchmark.measuring import measure, processor
    from vpt_gen.benchmark.programs import PROGRAMS
    from vpt_gen.benchmark.sizes import SIZES
    from vpt_gen.decode.decoders import of_net, own_options
    from vpt_gen.nets.stack import REMAT
    from vpt_gen.training.compute import DTYPES, SCAN_LAYERS


def define_flags() -> None:
    """Defines the flags; not at import, so that programs can share a process."""
    flags.DEFINE_list(
        "what",
        ["tune", "decode"],
        "What to measure (docs/benchmark.md). tune: a step of prompt tuning on cached tokens (the "
        "reference tokenizes in the step); gradient and forward: its transformer's part; edit: "
        "parts of an image against all of it.",
    )
    flags.DEFINE_string("size", "demo", "The model, such as maskgit256; weights are random.")
    define_number("batch", 1, Count, "Images at a time.")
    define_number("num_prompt_tokens", 0, SizeOrZero, "S; 0 for the size's own.")
    define_number("num_iterations", 12, Count, "Iterations T of parallel decoding.")
    flags.DEFINE_list("decoders", ["confidence"], "Parallel decoders, see docs/decoders.md.")
    define_number(
        "guidance", 0.0, NotNegative, "Scale of decoding; above 0, only ours is measured."
    )
    define_number("num_tokens", 0, CountOrZero, "Tokens to decode one by one; 0 for a whole image.")
    flags.DEFINE_string("dtype", "float32", "config.compute.dtype of ours.")
    flags.DEFINE_string("remat", "none", "config.compute.remat of ours.")
    flags.DEFINE_string("scan_layers", "auto", "config.compute.scan_layers of ours.")
    flags.DEFINE_bool("alone", False, "Measure only ours, without the reference.")
    define_number("repeat", 5, Count, "Runs of each program.")
    flags.DEFINE_string("output", "benchmark.json", "JSON file for all measurements.")


def _check_choices(values: flags.FlagValues) -> None:
    """Raises UserError for a value that is not known; the nets that tell are imported by now."""
    choices = {"what": (*PROGRAMS, "growth"), "size": SIZES, "dtype": DTYPES, "remat": REMAT}
    for name, known in {**choices, "scan_layers": SCAN_LAYERS}.items():
        for value in values.what if name == "what" else [values[name].value]:
            if value not in known:
                raise UserError(f"--{name}={value} is not known; use {', '.join(known)}.")
    _check_decoders(values)


def _check_decoders(values: flags.FlagValues) -> None:
    """Raises UserError for parallel decoders that do not go with the size or the guidance."""
    net = SIZES[values.size].transformer
    if not {"decode", "edit"} & set(values.what) or net.family == "ar":
        return
    for name in values.decoders:
        if name not in of_net(net):
            raise UserError(
                f"--decoders={name} does not work with the {net.title} of --size={values.size}; "
                f"use {', '.join(of_net(net))}."
            )
        if values.guidance and "guidance" not in own_options(name):
            guided = [other for other in of_net(net) if "guidance" in own_options(other)]
            raise UserError(
                f"--decoders={name} has no guidance: leave --guidance out, or use "
                f"{', '.join(guided)}."
            )


def main():
    """Runs the program; its flags are parsed."""
    values = flags.FLAGS
    output = pathlib.Path(values.output)
    check_output(output, "--output")
    _check_choices(values)
    if "growth" in values.what and SIZES[values.size].transformer.family == "ar":
        raise UserError("--what=growth measures a MaskGIT: use --size=demo or maskgit256.")
    if "edit" in values.what and SIZES[values.size].transformer.one_dimensional:
        raise UserError(
            f"--what=edit: the tokens of --size={values.size} have no places, so that no part of "
            "an image can be edited: use another size, such as maskgit256."
        )
    results = [measure(what, values) for what in values.what]
    record = {
        "command": cli.command("vpt_gen.benchmark"),
        "machine": platform.platform(),
        "processor": processor(),
        "versions": {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax")},
        "results": results,
    }
    write_json(output, record)
    say(f"All measurements: {output}")


if __name__ == "__main__":
    cli.run(main, define_flags)
