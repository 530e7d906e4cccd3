"""Runs that are drawn from as one: their batches are like those of one run."""

import numpy as np
import pytest
from etils import epath

from tests.runs.test_saved import generation_of
from vpt_gen.runs.merging import MergedSampler
from vpt_gen.runs.samples import Samples, wanted_or_all
from vpt_gen.runs.shared_samples import SharedSamples


class Rounded:
    """A sampler of a batch that its devices do not share evenly, and which is therefore larger."""

    options = {}
    batch_size, images_at_a_time = 3, 4

    def stream(self, params, bank, seed, weights, wanted=None, known=None, numbers=None):
        rows = np.flatnonzero(wanted_or_all(wanted, bank))
        for start in range(0, len(rows), self.images_at_a_time):
            at = rows[start : start + self.images_at_a_time]
            images = np.zeros((len(at), 8, 8, 3), np.float32) + at[:, None, None, None]
            none = np.zeros((len(at), 0), np.int32)
            yield Samples(images + params, none, none, bank[at, -1, 0])


@pytest.mark.parametrize("merged", [False, True])
def test_batches_of_merged_runs_are_those_that_processes_share(tmp_path, merged):
    sampler, params = Rounded(), 0.0
    if merged:
        sampler, params = MergedSampler([Rounded(), Rounded()], [1, 1]), [0.0, 10.0]
    generation = generation_of(sampler)
    generation.run.params = params
    shared = SharedSamples(epath.Path(tmp_path))
    shared.draw(generation)
    made = shared.read(generation)
    assert made.class_ids.tolist() == [0] * 7 + [1] * 3
    expected = [*range(7), *range(10, 13)] if merged else list(range(10))
    assert made.images[:, 0, 0, 0].tolist() == expected
