"""What the README and docs/ tabulate is what the code says."""

import pathlib

from vpt_gen.checkpoints.released import published
from vpt_gen.config.fields import METHODS
from vpt_gen.data.vtab import table as vtab_table
from vpt_gen.evaluation.figures import KINDS
from vpt_gen.images.codec import EXTENSIONS
from vpt_gen.tables import method_sizes, prompt_sizes

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_parameter_counts_of_the_readme_are_counted():
    assert prompt_sizes.table() in README


def test_parameter_counts_of_methods_are_counted():
    page = (ROOT / "docs" / "methods.md").read_text()
    assert method_sizes.table() in page
    assert [name for name in METHODS if f"`{name}`" not in page] == []


def test_published_weights_of_the_readme_are_those_that_can_be_fetched():
    assert published.table() in README


def test_facts_of_the_vtab_page_are_those_of_the_table_in_code():
    assert vtab_table.table() in (ROOT / "docs" / "vtab.md").read_text()


def test_extensions_of_the_guide_are_those_that_are_read():
    guide = (pathlib.Path(__file__).parents[1] / "docs" / "images.md").read_text()
    listed = guide.split("An image counts by its extension: `")[1].split("`")[0]
    assert sorted(listed.split()) == sorted(EXTENSIONS)


def test_every_figure_is_explained():
    page = (ROOT / "docs" / "evaluation.md").read_text()
    assert [name for name in KINDS if f"`{name}`" not in page] == []
