"""Programs refuse a folder that another program writes to, before they do any work."""

import pytest

from tests import made
from tests.programs import ROOT, call, train
from vpt_gen import preview, reconstruct, sample
from vpt_gen.errors import UserError
from vpt_gen.evaluate import __main__ as evaluate
from vpt_gen.machine import lock
from vpt_gen.report import __main__ as report

RUN = ROOT / "tests" / "before" / "run"


def test_a_run_in_the_folder_of_another(tmp_path):
    config = made.prompts_config("no data", "no tokenizer", "no transformer")
    with (
        lock.held(tmp_path / "run", "--workdir"),
        pytest.raises(UserError, match="run is in use by process .* choose another --workdir"),
    ):
        train(config, tmp_path / "run")
    with pytest.raises(UserError, match=".no data. does not exist"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "flag", "given"),
    [
        (sample, "output", [f"--checkpoint={RUN}"]),
        (evaluate, "output", [f"--checkpoint={RUN}"]),
        (reconstruct, "output", []),
        (preview, "folder", []),
    ],
)
def test_images_in_the_folder_of_another(program, flag, given, tmp_path):
    folder = tmp_path / "folder"
    if program is reconstruct:
        given = [f"--images={made.write_folder(tmp_path / 'images')}"]
    with (
        lock.held(folder, "--output"),
        pytest.raises(UserError, match=f"folder is in use by process .* choose another --{flag}"),
    ):
        call(program, *given, f"--{flag}={folder}", needs_config=False)
    assert not folder.exists()


@pytest.mark.slow
def test_a_page_that_another_program_makes(tmp_path):
    output = tmp_path / "report.html"
    with (
        lock.held(output, "--output", beside=True),
        pytest.raises(UserError, match="report.html is in use by process .* choose another"),
    ):
        call(report, f"--workdir={RUN}", f"--output={output}", needs_config=False)
    assert not list(tmp_path.iterdir())
