"""`python -m tests.strips runs/guidance/0 runs/guidance/1 --output=both.png`: one row for each.

A row has the first images of a folder of `vpt_gen.evaluate`, labeled by the folder's name; prints a
table of the metrics. Not collected by pytest.
"""

import argparse
import json
import pathlib

from PIL import Image

from vpt_gen.images import grids

METRICS = ("class_agreement", "frechet", "precision", "recall", "intra_class_diversity")


def table(folders: list[pathlib.Path]) -> str:
    """A table in Markdown, its last row with the values of real images."""
    lines = ["| | " + " | ".join(METRICS) + " |", "|---|" + "---:|" * len(METRICS)]
    for folder in folders:
        figures = json.loads((folder / "metrics.json").read_text())["figures"]
        lines.append(row(folder.name, [figures[name]["value"] for name in METRICS]))
    lines.append(row("real images", [figures[name]["floor"] for name in METRICS]))
    return "\n".join(lines)


def row(label: str, values: list[float]) -> str:
    return f"| {label} | " + " | ".join(f"{value:.3g}" for value in values) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    rows = {folder.name: grids.read_strip(folder) for folder in args.folders}
    Image.fromarray(grids.labeled_rows(rows)).save(args.output, optimize=True)
    print(table(args.folders))


if __name__ == "__main__":
    main()
