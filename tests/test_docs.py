"""What the README tabulates is what the code says."""

import pathlib

from vpt_gen import prompt_sizes
from vpt_gen.checkpoints.released import published

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text()


def test_parameter_counts_of_the_readme_are_counted():
    assert prompt_sizes.table() in README


def test_published_weights_of_the_readme_are_those_that_can_be_fetched():
    assert published.table() in README
