"""Training curves: damaged events are told, and stop nothing."""

import pytest
from clu import metric_writers

from tests import damage
from vpt_gen.evaluation.curves import read_curves


@pytest.fixture
def events(tmp_path):
    writer = metric_writers.SummaryWriter(str(tmp_path))
    for step in range(1, 9):
        writer.write_scalars(step, {"train/loss": 1.0 / step, "train/rate": 0.5})
    writer.close()
    (path,) = tmp_path.glob("events*")
    return path


def test_what_was_written_is_read(events):
    steps, values = read_curves(events.parent)["train/loss"]
    assert steps == list(range(1, 9)) and values[1] == 0.5


@pytest.mark.parametrize("kind", [*damage.JSON, "a bit", "other text"])
def test_damage_leaves_curves_out(events, kind):
    others = {"a bit": damage.flip, "other text": lambda content: b"x" * len(content)}
    damage.apply(events, {**damage.JSON, **others}[kind])
    assert read_curves(events.parent).keys() <= {"train/loss", "train/rate"}


def test_an_error_of_the_reader_is_told(events, monkeypatch, capsys):
    from tensorboard.backend.event_processing import event_accumulator

    def fail(self):
        raise ValueError("not an event")

    monkeypatch.setattr(event_accumulator.EventAccumulator, "Reload", fail)
    assert read_curves(events.parent) == {}
    said = capsys.readouterr().out
    assert said.startswith("The TensorBoard events in ") and "are damaged (not an event)" in said
