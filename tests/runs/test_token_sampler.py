"""What a sampler decides before it decodes."""

import numpy as np
import pytest

from vpt_gen.runs.token_sampler import eighths_unknown, room_for


@pytest.mark.parametrize("num_tokens", [16, 25, 36, 49])
def test_room_for_unknown_tokens_depends_on_their_eighths_alone(num_tokens):
    lacking = np.arange(num_tokens) < np.arange(1, num_tokens + 1)[:, None]
    eighths = eighths_unknown(lacking)
    assert (eighths.min(), eighths.max()) == (1, 8)
    for level in range(1, 9):
        of_level = lacking[eighths == level]
        assert {room_for(image[None]) for image in of_level} == {room_for(of_level)}
        assert of_level.sum(axis=1).max() <= room_for(of_level) <= num_tokens
