"""Measures our program in turns with the reference and the device's best rates."""

import pathlib
import platform
from typing import Any

from absl import flags

from vpt_gen.benchmark.request import Request
from vpt_gen.machine import later

with later.imports(globals()):
    from vpt_gen.benchmark import edits, growth, table
    from vpt_gen.benchmark.comparison import compare
    from vpt_gen.benchmark.programs import ways
    from vpt_gen.benchmark.sizes import SIZES


def requests(what: str, flag_values: flags.FlagValues) -> tuple[list[Request], list[Request]]:
    """Returns the programs to compare, ours first, and those of the device's best rates."""
    size, common = SIZES[flag_values.size], _common(flag_values)
    decoding = what == "decode" and size.transformer.family == "nar"
    decoders = flag_values.decoders if decoding else ["confidence"]
    own = [Request(what, "ours", decoder=decoder, **common) for decoder in decoders]
    is_alone = flag_values.alone or flag_values.guidance > 0
    others = [] if is_alone else ways(what, size)[1:]
    rates = ["convolution"] if "tokenize" in what else ["matmul"]
    if what == "decode" and size.transformer.family == "ar":
        rates = ["bandwidth"]
    return (
        # The reference leaves memory to the C library, as every program does by default.
        own + [Request(what, way, keep_memory=way != "reference", **common) for way in others],
        [Request(rate, "", **common) for rate in rates],
    )


def _common(flag_values: flags.FlagValues) -> dict[str, Any]:
    """Returns the fields of requests that are flags."""
    names: tuple[str, ...] = ("size", "batch", "num_prompt_tokens", "num_iterations", "num_tokens")
    names += ("dtype", "remat", "scan_layers", "guidance")
    return {name: getattr(flag_values, name) for name in names}


def measure(what: str, flag_values: flags.FlagValues) -> dict:
    """Measures one entry of --what, prints its lines, and returns the measurements."""
    if what == "growth":
        found = growth.measure(Request(what, "ours", flag_values.size))
        print("\n".join(growth.lines(found)), flush=True)
        return {"what": what, "growth": found}
    if what == "edit":
        is_causal = SIZES[flag_values.size].transformer.family == "ar"
        decoders = ["autoregressive"] if is_causal else flag_values.decoders
        whole = Request(what, "ours", **_common(flag_values))
        edited = edits.measure(whole, decoders, flag_values.repeat)
        print("\n".join(edits.lines(edited)), flush=True)
        return {"what": what, "edits": edited}
    programs, rates = requests(what, flag_values)
    records = compare([*programs, *rates], flag_values.repeat, what)
    best = dict(zip((r.what for r in rates), records[len(programs) :], strict=True))
    rows = table.summary(records[: len(programs)], best)
    print("\n".join(table.lines(rows, best)), flush=True)
    return {"what": what, "rows": rows, "records": records}


def processor() -> str:
    """Returns the name of the host's processor."""
    path = pathlib.Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()
