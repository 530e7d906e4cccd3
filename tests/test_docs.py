"""What README.md and docs/ say is what the code says, and their links lead somewhere."""

import pathlib
import re
import subprocess
import sys
from configparser import ConfigParser

import pytest

import vpt_gen
from vpt_gen import limits, methods
from vpt_gen.checkpoints.released import published
from vpt_gen.config import flag
from vpt_gen.config.fields import METHODS
from vpt_gen.data.tokens import shards
from vpt_gen.data.vtab import table as vtab_table
from vpt_gen.decode import approximate, halton
from vpt_gen.evaluation.metrics import FIGURES
from vpt_gen.images.codec import EXTENSIONS
from vpt_gen.tables import backbones, candidates, method_sizes, prompt_sizes

ROOT = pathlib.Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [
    *DOCS,
    *sorted((ROOT / "vpt_gen" / "assets").glob("*/README.md")),
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG", "ARCHITECTURE")),
]
# Paths that a page invents for its reader.
MADE_UP = {"configs/study_mine.py"}


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


@pytest.mark.slow
def test_parameter_counts_of_prompts_are_counted():
    assert prompt_sizes.table() in page("prompts.md")


@pytest.mark.slow
def test_parameter_counts_of_methods_are_counted():
    text = page("methods.md")
    assert method_sizes.table() in text
    assert [name for name in METHODS if f"`{name}`" not in text] == []


@pytest.mark.slow
def test_costs_of_backbones_are_counted():
    choices = candidates.candidates()
    for name, tables in backbones.TABLES.items():
        text = (ROOT / name).read_text()
        assert [made for table in tables if (made := table(choices)) not in text] == []
    assert backbones.machines_table() in page("weights.md")


def test_published_weights_are_those_that_can_be_fetched():
    assert published.table() in page("weights.md")


def test_facts_of_the_vtab_page_are_those_of_the_table_in_code():
    assert vtab_table.table() in page("vtab.md")


def test_ranges_of_numbers_are_those_that_are_checked():
    text = page("limits.md")
    for table in (limits.fields_table(), limits.study_table(), limits.flags_table()):
        assert table in text


def test_extensions_of_the_guide_are_those_that_are_read():
    listed = page("images.md").split("An image counts by its extension: `")[1].split("`")[0]
    assert sorted(listed.split()) == sorted(EXTENSIONS)


def test_every_metric_is_explained():
    text = page("evaluation.md")
    assert [name for name in FIGURES if f"`{name}`" not in text] == []


def test_work_of_the_decoders_is_computed():
    """Rows such as "| `frontier`, `refresh_every=4` | 37 % | ..." of full prompts."""
    sizes = {"Speed": (256, 128), "Quality": (64, 16), "Error of the approximations": (64, 16)}
    rows = {}
    for part in page("decoders.md").split("\n## ")[1:]:
        heading, _, text = part.partition("\n")
        pattern = r"^\| `(masked|frontier)`(?:, `?(?:refresh_every=)?(\d)`?)? \| (\d+) % \|"
        for recompute, refresh, written in re.findall(pattern, text, re.M):
            counts = halton.reveal_counts(sizes[heading][0], 12, "cosine")
            share = approximate.recomputed_share(
                counts, recompute, int(refresh or 0), prefix=sizes[heading][1]
            )
            rows[heading, recompute, refresh] = written, f"{100 * share:.0f}"
    assert len(rows) == 10
    assert {row: texts for row, texts in rows.items() if texts[0] != texts[1]} == {}


def test_first_results_of_methods_with_two_stages():
    """The command names a shorter first stage for each; runs without a second one are refused."""
    text = page("methods.md").split("\n## First results\n")[1].split("\n\n")[0]
    (num_steps,) = re.findall(r"--config\.num_steps=(\d+)", text)
    stages = dict(re.findall(r"--config\.(\w+\.\w+_steps)=(\d+)", text))
    named = {f"{m.group}.{m.first_stage}" for m in methods.METHODS.values() if m.first_stage}
    assert stages.keys() == named
    assert all(0 < int(steps) < int(num_steps) for steps in stages.values())


def test_the_size_of_the_token_cache_is_that_of_its_records():
    assert "20 + 2 V N bytes per example" in page("data.md")
    assert {shards.record_type(v, n).itemsize - 2 * v * n for v, n in [(1, 64), (8, 256)]} == {20}


def test_the_readme_does_not_promise_held_out_images_that_there_are_not():
    held_out = flag.load(str(ROOT / "configs" / "folder.py"), "").data.holdout
    (line,) = re.findall(r"--checkpoint=runs/folder +# (.*)", (ROOT / "README.md").read_text())
    assert ("held-out" in line, "trained on" in line) == (held_out > 0, held_out == 0)


def anchors(path: pathlib.Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.S)
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(path):
    text = path.read_text()
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    broken = []
    for link in links:
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_modules_that_a_page_names_exist(path):
    text = path.read_text()
    files = set(re.findall(r"\b(?:vpt_gen|tests|configs|launch|docs)/[\w/]+\.(?:py|sh|md)\b", text))
    missing = [name for name in files - MADE_UP if not (ROOT / name).exists()]
    for module in set(re.findall(r"python -m ((?:vpt_gen|tests)(?:\.\w+)*)", text)):
        where = ROOT.joinpath(*module.split("."))
        if not (where.with_suffix(".py").exists() or (where / "__main__.py").exists()):
            missing.append(module)
    assert not missing


def test_the_index_names_every_page():
    index = page("README.md")
    assert [p.name for p in DOCS if p.name != "README.md" and f"({p.name})" not in index] == []


def test_the_version_is_written_once():
    """`vpt_gen.__version__` is the one place; setuptools reads it without importing anything."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["metadata"]["version"] == "attr: vpt_gen.__version__"
    assert f"\nversion: {vpt_gen.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## [{vpt_gen.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.slow
def test_importing_the_package_imports_nothing_heavy():
    heavy = ("jax", "tensorflow", "numpy")
    code = f"import sys, vpt_gen; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
