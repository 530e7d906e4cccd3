"""The notebook, cell by cell, as a newcomer runs it: pictures and figures come out."""

import base64
import io
import json
import math
import pathlib

import numpy as np
import pytest
from PIL import Image

from tests.programs import ROOT, environment

NOTEBOOK = ROOT / "notebooks" / "quick_start.ipynb"


def cells(kind):
    return [c for c in json.loads(NOTEBOOK.read_text())["cells"] if c["cell_type"] == kind]


def pictures(cell):
    """The pictures that a cell shows, uint8 (H, W, 3)."""
    shown = [
        o["data"]["image/png"] for o in cell.get("outputs", []) if "image/png" in o.get("data", {})
    ]
    opened = [Image.open(io.BytesIO(base64.b64decode(data))) for data in shown]
    return [np.asarray(picture.convert("RGB")) for picture in opened]


def test_the_notebook_in_the_repository_shows_pictures_and_no_error_and_is_small():
    assert NOTEBOOK.stat().st_size < 500_000
    outputs = [output for cell in cells("code") for output in cell["outputs"]]
    assert [o for o in outputs if o["output_type"] == "error"] == []
    assert sum(len(pictures(cell)) for cell in cells("code")) == 3
    text = "".join("".join(o.get("text", "")) for o in outputs)
    assert "class agreement" in text and "/tmp" not in text and str(pathlib.Path.home()) not in text


@pytest.mark.slow
def test_every_cell_runs(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (number,) = (
        i for i, c in enumerate(notebook.cells) if "parameters" in c.metadata.get("tags", [])
    )
    workdir = tmp_path / "run"
    chosen = f"UPDATES, VIEWS, SAMPLES, MEASURED, WORKDIR = 1, 1, 1, 5, {str(workdir)!r}"
    notebook.cells.insert(number + 1, nbformat.v4.new_code_cell(chosen))
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    place = {"metadata": {"path": str(NOTEBOOK.parent)}}
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()

    shown = [picture for cell in notebook.cells for picture in pictures(cell)]
    assert len(shown) == 3  # reconstructions, samples, the export's picture
    assert all(picture.std() > 5 for picture in shown)
    figures = json.loads((workdir / "evaluation" / "metrics.json").read_text())["figures"]
    assert {"frechet", "class_agreement", "memorization_rate"} <= set(figures)
    assert all(math.isfinite(figure["value"]) for figure in figures.values())
    assert (workdir / "export" / "tuned.safetensors").stat().st_size > 1000
    assert len(list((workdir / "samples").glob("digit_*.png"))) == 5
