"""`python -m tests.against_torch --size=demo`: ours against the same nets in PyTorch.

Needs an environment with PyTorch, which is no dependency of ours:

    python -m venv other && other/bin/pip install torch==2.13.0 -e .
    other/bin/python -m tests.against_torch --size=demo

First checks that both have the same outputs with the same weights and noise (`check.py` has the
tolerances), then measures them in turns, each in its own process with as many threads as the cores
that this process may use (`taskset` limits them): programs of ours, PyTorch eager and compiled,
and the best rates of the machine by XLA, PyTorch (oneDNN) and NumPy's BLAS. Prints Markdown tables
for docs/benchmark.md: medians, and for ratios the least and the largest.

Not collected by pytest: minutes.
"""

import argparse
import importlib.util
import os
import sys

from vpt_gen import cli
from vpt_gen.errors import UserError

_WORKER = "tests.against_torch.worker"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main():
    check_torch()
    # NumPy's and PyTorch's libraries read these as they are loaded.
    threads = len(os.sched_getaffinity(0))
    os.environ.update(dict.fromkeys(_THREADS, str(threads)))
    args = parse()
    from tests.against_torch import table
    from vpt_gen.benchmark.measuring import processor

    print(f"{processor()}, {threads} threads")
    rows, floor_rows = [], {}
    for request in requests(args):
        if not args.unchecked:
            check(request, args.ways)
        records, floors = measure(request, args)
        rows.append(table.row(records, floors))
        floor_rows.setdefault((floors["xla"]["what"], request.dtype), table.floor_row(floors))
    print("", table.HEADER, *rows, "", table.FLOOR_HEADER, *floor_rows.values(), sep="\n")


def check_torch():
    """Raises UserError if PyTorch is missing."""
    if importlib.util.find_spec("torch") is None:
        raise UserError(
            "This program compares with PyTorch, which this environment lacks because it is no "
            "dependency: make one with `python -m venv other && other/bin/pip install "
            "torch==2.13.0 -e .`, and run it with other/bin/python."
        )


def parse():
    from tests.against_torch import models
    from vpt_gen.benchmark.sizes import SIZES

    sizes = [name for name, size in SIZES.items() if type(size.transformer) in models.TWINS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=sizes, default="demo", help="weights are random")
    parser.add_argument("--what", nargs="+", choices=models.WHAT, help="default: all it has")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--ways", nargs="*", choices=models.WAYS, default=list(models.WAYS))
    parser.add_argument("--batch", type=int, default=1, help="images at a time")
    parser.add_argument("--num_iterations", type=int, default=12, help="of parallel decoding")
    parser.add_argument("--num_tokens", type=int, default=0, help="drawn one by one; 0: an image")
    parser.add_argument("--repeat", type=int, default=5, help="measured runs of each program")
    parser.add_argument("--unchecked", action="store_true", help="do not compare the outputs first")
    args = parser.parse_args()
    size = SIZES[args.size]
    known = [what for what in models.WHAT if type(models.net_of(what, size)) in models.TWINS]
    args.what = args.what or known
    if missing := [what for what in args.what if what not in known]:
        raise UserError(f"--what={missing[0]}: --size={args.size} has a net without a twin here.")
    return args


def requests(args):
    """Yields ours; tokenizers always compute in float32."""
    from vpt_gen.benchmark.request import Request

    for what in args.what:
        for dtype in args.dtypes if what == "decode" else ["float32"]:
            yield Request(
                what,
                "ours",
                args.size,
                args.batch,
                dtype=dtype,
                num_iterations=args.num_iterations,
                num_tokens=args.num_tokens,
            )


def check(request, ways):
    """Prints how far outputs agree; raises UserError if they do not."""
    import dataclasses

    from tests.against_torch.check import agreement
    from vpt_gen.benchmark.sizes import SIZES

    for way in ways:
        found = agreement(dataclasses.replace(request, way=way), SIZES[request.size])
        text = (
            f"{request.what}, {request.dtype}, {way}: largest difference {found.difference:.1e} of "
            f"the largest value, {found.tokens:.2%} of the results equal"
        )
        if not found.holds:
            raise UserError(f"The outputs differ, so that times mean nothing: {text}.")
        print(text, flush=True)


def measure(request, args):
    """Returns the records of the programs by way, and of the best rates by library."""
    import dataclasses

    from tests.against_torch import floors
    from vpt_gen.benchmark.comparison import WORKER, compare
    from vpt_gen.benchmark.sizes import SIZES

    floor = "matmul" if request.what == "decode" else "convolution"
    if request.what == "decode" and SIZES[request.size].transformer.family == "ar":
        floor = "bandwidth"
    libraries = ["xla", *floors.libraries(floor, request.dtype)]
    ways = ["ours", *args.ways]
    programs = [dataclasses.replace(request, way=way) for way in ways]
    programs += [dataclasses.replace(request, what=floor, way=library) for library in libraries]
    workers = [WORKER if each.way in ("ours", "xla") else _WORKER for each in programs]
    records = compare(programs, args.repeat, request.what, workers)
    count = len(ways)
    return (
        dict(zip(ways, records[:count], strict=True)),
        dict(zip(libraries, records[count:], strict=True)),
    )


if __name__ == "__main__":
    sys.exit(cli.exit_code(main))
