"""The seconds of a run are a statistic: damage is told, and stops nothing."""

import pytest

from tests import damage
from vpt_gen.training.clock import Clock, training_seconds


@pytest.mark.parametrize("content", ["", "1e999", "NaN", "-3", "[]", '"3"', "true", "9" * 400])
def test_a_damaged_file_is_told_and_counts_as_nothing(tmp_path, content, capsys):
    path = tmp_path / "seconds.json"
    path.write_text(content)
    assert training_seconds(str(tmp_path)) is None
    clock = Clock(str(tmp_path))
    said = capsys.readouterr().out
    assert f"{path} is damaged (" in said and "the time before is not counted." in said
    clock.save()
    assert 0 <= training_seconds(str(tmp_path)) < 60


def test_other_text_is_told(tmp_path, capsys):
    path = tmp_path / "seconds.json"
    path.write_text("3")
    damage.apply(path, damage.JSON["not UTF-8"])
    assert training_seconds(str(tmp_path)) is None
    assert "(not UTF-8)" in capsys.readouterr().out


def test_time_adds_up(tmp_path):
    (tmp_path / "seconds.json").write_text("100")
    Clock(str(tmp_path)).save()
    assert 100 <= training_seconds(str(tmp_path)) < 160
