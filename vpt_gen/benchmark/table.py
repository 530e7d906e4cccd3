"""Formats measurements."""

from typing import Any

from vpt_gen.benchmark.comparison import rate, times_as_fast


def summary(records: list[dict[str, Any]], rates: dict[str, dict[str, Any]]) -> list[dict]:
    """Returns the main figures, one row per program; the first of `records` is ours.

    Args:
      records: of the compared programs, see `comparison.compare`.
      rates: the device's best rates, by name (`rates.RATES`), from the same run.
    """
    ours = records[0]
    rows: list[dict[str, Any]] = []
    for record in records:
        row = {
            "what": record["what"],
            "way": record["way"] if record["decoder"] == "confidence" else record["decoder"],
            f"{record['unit']}_per_second": rate(record, "units"),
            "gflop": record["flops"] / 1e9,
            "gflop_per_second": rate(record, "flops") / 1e9,
            "trace_and_compile_seconds": record["trace_seconds"] + record["compile_seconds"],
            "peak_gb": record["peak_bytes"] / 1e9,
            "temporary_gb": record["temporary_bytes"] / 1e9,
        }
        for name, best in rates.items():
            work = "bytes" if name == "bandwidth" else "flops"
            row[f"share_of_{name}_rate"] = rate(record, work) / rate(best, work)
        if record is not ours:
            row["ours_times_as_fast"] = times_as_fast(ours, record)
            row["ours_share_of_peak"] = ours["peak_bytes"] / record["peak_bytes"]
            row["ours_share_of_compile"] = (
                rows[0]["trace_and_compile_seconds"] / (row["trace_and_compile_seconds"])
            )
        rows.append(row)
    return rows


def lines(rows: list[dict[str, Any]], rates: dict[str, dict[str, Any]]) -> list[str]:
    """Formats the rows of `summary`."""
    found = [f"{name} rate: {_best(name, record)}" for name, record in rates.items()]
    for row in rows:
        unit = next(key for key in row if key.endswith("_per_second"))
        parts = [
            f"{row['what']:11}{row['way']:10}",
            f"{row[unit]:10.3f} {unit.removesuffix('_per_second')}/s",
            f"{row['gflop']:10.1f} GFLOP",
            f"{row['gflop_per_second']:8.1f} GFLOP/s",
            f"compile {row['trace_and_compile_seconds']:6.1f} s",
            f"peak {row['peak_gb']:5.2f} GB",
        ]
        parts += [
            f"{row[key]:4.0%} of {key.removeprefix('share_of_').removesuffix('_rate')} rate"
            for key in row
            if key.startswith("share_of_")
        ]
        if "ours_times_as_fast" in row:
            parts.append(
                f"ours: {row['ours_times_as_fast']:.2f} times as fast, compile "
                f"{row['ours_share_of_compile']:.2f}, peak {row['ours_share_of_peak']:.2f} of it"
            )
        found.append("  ".join(parts))
    return found


def _best(name: str, record: dict[str, Any]) -> str:
    if name == "bandwidth":
        return f"{rate(record, 'bytes') / 1e9:.1f} GB/s"
    return f"{rate(record, 'flops') / 1e9:.1f} GFLOP/s"
