"""The measurements of one run as rows of a Markdown table."""

import statistics

from vpt_gen.benchmark.comparison import rate

HEADER = (
    "| | type | ours | share of XLA's rate, of the best | PyTorch eager | `torch.compile` "
    "| times eager | times compiled |\n|---|---|---:|---:|---:|---:|---:|---:|"
)
FLOOR_HEADER = "| | type | XLA | PyTorch | NumPy |\n|---|---|---:|---:|---:|"
_WORK = {"matmul": ("flops", "GFLOP/s"), "convolution": ("flops", "GFLOP/s")}
_WORK["bandwidth"] = ("bytes", "GB/s")


def row(records, floors):
    """Formats one program.

    Args:
      records: {way: record} of `comparison.compare`, ours among them.
      floors: {library: record} of its limit, from the same run.
    """
    ours = records["ours"]
    shares = _shares(ours, floors)
    speeds = [_speed(records.get(way)) for way in ("eager", "compile")]
    ratios = [_ratio(ours, records.get(way)) for way in ("eager", "compile")]
    name = f"{ours['size']}, {ours['what']}"
    cells = [name, ours["dtype"], _speed(ours), shares, *speeds, *ratios]
    return f"| {' | '.join(cells)} |"


def floor_row(floors):
    """Formats the rates of one limit, {library: record}."""
    first = floors["xla"]
    work, unit = _WORK[first["what"]]
    rates = [
        f"{rate(floors[library], work) / 1e9:.1f} {unit}" if library in floors else ""
        for library in ("xla", "torch", "numpy")
    ]
    return f"| {' | '.join((first['what'], first['dtype'], *rates))} |"


def _shares(ours, floors):
    work, _ = _WORK[floors["xla"]["what"]]
    reached = rate(ours, work)
    best = max(rate(record, work) for record in floors.values())
    return f"{reached / rate(floors['xla'], work):.0%}, {reached / best:.0%}"


def _speed(record):
    return f"{rate(record, 'units'):.3g} {record['unit']}/s" if record else ""


def _ratio(ours, theirs):
    """Median, least and largest of the ratios of runs of one turn."""
    if theirs is None:
        return ""
    pairs = zip(theirs["seconds"], ours["seconds"], strict=True)
    share = ours["units"] / theirs["units"]
    ratios = [share * other / own for other, own in pairs]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
