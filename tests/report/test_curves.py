"""Curves come from TensorBoard's events, also those of a run that was interrupted."""

import xml.etree.ElementTree as ET

from clu import metric_writers

from vpt_gen.evaluation.curves import read_curves
from vpt_gen.report.curves import curves_section


def write(folder, values):
    writer = metric_writers.SummaryWriter(str(folder))
    for step, scalars in values.items():
        writer.write_scalars(step, scalars)
    writer.close()


def test_a_resumed_run_counts_once(tmp_path):
    write(tmp_path, {1: {"train/loss": 3.0}, 2: {"train/loss": 2.5}})
    write(tmp_path, {2: {"train/loss": 2.0}, 3: {"train/loss": 1.0}})
    assert read_curves(tmp_path) == {"train/loss": ([1, 2, 3], [3.0, 2.0, 1.0])}


def test_the_section_says_where_the_held_out_loss_was_lowest():
    curves = {
        "train/loss": (list(range(100)), [float(i) for i in range(100)]),
        "eval/loss": ([50, 99], [1.25, 1.5]),
        "train/gradient_norm": ([0, 1], [1.0, 2.0]),
    }
    text = ET.tostring(curves_section(curves), encoding="unicode", method="text")
    assert "lowest at update 50: 1.25; it ended at 1.5" in text
    figures = curves_section(curves).findall(".//figure")
    assert [f.find(".//b").text for f in figures] == ["Loss", "Gradient norm"]
    rows = curves_section(curves).findall(".//tbody/tr")
    assert {"50", "99"} <= {row[0].text for row in rows}
    assert len(rows) < 60


def test_a_loss_that_is_not_finite_is_not_the_lowest():
    nan = float("nan")
    for values, said in (
        ([nan, 1.5, nan], "lowest at update 2: 1.5; it ended at nan"),
        ([nan, nan, nan], "never finite: the run diverged"),
    ):
        section = curves_section({"eval/loss": ([1, 2, 3], values)})
        assert said in ET.tostring(section, encoding="unicode", method="text")


def test_a_run_without_events_says_so():
    assert "no TensorBoard events" in ET.tostring(curves_section({}), encoding="unicode")
