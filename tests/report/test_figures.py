"""Figures come with their floors, directions and protocols, and a command where there are none."""

import json
import xml.etree.ElementTree as ET

import pytest

from vpt_gen.errors import UserError
from vpt_gen.report.figures import figures_section, read_metrics

RECORD = {
    "figures": {
        "fid": {
            "value": 12.345,
            "std": None,
            "floor": 3.0,
            "better": "lower",
            "meaning": "How far from real.",
            "protocol": {"feature": "2048", "sampler": {"seed": 7}},
        },
        "kid": {"value": 0.01, "std": 0.002, "floor": None, "better": "lower", "protocol": {}},
        "<i>&": {"value": 1.0, "std": None, "floor": None, "better": "neither"},
    },
    "left_out": {"intra_lpips": "The weights are not at hand."},
    "protocol": {"num_images": 500},
    "class_agreement": 0.92,
    "class_agreement_untuned": 0.1,
    "class_agreement_real": 0.96,
    "tuning_seconds": 12.5,
}


def cells(node):
    return [["".join(x.itertext()) for x in row] for row in node.findall(".//tbody/tr")]


def test_every_part_of_a_record_is_there():
    rows = cells(figures_section({"metrics.json": RECORD}, "python -m x"))
    assert ["fid", "12.35", "3", "", "↓ lower", "How far from real."] in rows
    assert ["kid", "0.01\u00a0±\u00a00.002", "–", "", "↓ lower", ""] in rows
    assert ["<i>&", "1", "–", "", "like real", ""] in rows
    assert ["sampler.seed", "7"] in rows and ["num_images", "500"] in rows
    assert ["intra_lpips", "The weights are not at hand."] in rows
    assert ["class agreement", "0.1", "0.92", "–", "0.96"] in rows
    assert ["tuning seconds", "12.5"] in rows


def test_the_reference_is_named_and_marked_if_it_was_trained_on():
    protocol = {
        "generated": {"count": 8},
        "reference": {"count": 20, "images": "20 images trained on", "trained_on": 20},
        "features": {"space": "tokenizer"},
    }
    figure = {"value": 1.0, "std": None, "floor": 2.0, "warning": "Copies ..."}
    record = {"figures": {"fid": figure, "kid": {"value": 1.0}}, "protocol": protocol}
    section = figures_section({"metrics.json": record}, "x")
    assert [row[0] for row in cells(section)[:2]] == ["fid\u00a0*", "kid"]
    text = ET.tostring(section, encoding="unicode", method="text")
    assert "8 generated images; compared with the 20 images trained on; tokenizer features" in text
    assert "* The reference was trained on, so copies would get the best values" in text


def test_a_bar_shows_the_value_and_a_mark_the_floor():
    bar = figures_section({"metrics.json": RECORD}, "x").find(".//div[@class='bar']")
    assert [part.get("style") for part in bar] == ["width:100.0%", "left:24.3%"]
    below = {"value": 0.5, "floor": -0.1, "std": None}
    bar = figures_section({"m": {"figures": {"kid": below}}}, "x").find(".//div[@class='bar']")
    assert [part.get("style") for part in bar] == ["width:100.0%", "left:0.0%"]


@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_figure_that_could_not_be_taken_has_no_bar(value):
    figure = {"value": value, "floor": 3.0, "std": None}
    section = figures_section({"m": {"figures": {"fid": figure}}}, "x")
    assert section.find(".//div[@class='bar']") is None
    assert cells(section)[0][:3] == ["fid", "–" if value is None else "nan", "3"]


def test_both_files_are_read_and_a_damaged_one_is_named(tmp_path):
    assert read_metrics(tmp_path) == {}
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "metrics.json").write_text(json.dumps(RECORD))
    (tmp_path / "metrics.json").write_text(json.dumps({"class_agreement": 0.5}))
    assert list(read_metrics(tmp_path)) == ["evaluation/metrics.json", "metrics.json"]
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(UserError, match="metrics.json is damaged"):
        read_metrics(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "3",
        '{"figures": []}',
        '{"figures": {"fid": []}}',
        '{"figures": {"fid": {"std": ""}}}',
    ],
)
def test_a_file_of_no_figures_is_named(tmp_path, content):
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(UserError, match=r"metrics\.json is damaged \(.*\); delete it, and measure"):
        read_metrics(tmp_path)


def test_without_figures_the_command_stands_there():
    text = ET.tostring(figures_section({}, "python -m vpt_gen.evaluate"), method="text")
    assert b"Nothing was measured in this run yet. To measure it:" in text
    assert b"python -m vpt_gen.evaluate" in text
