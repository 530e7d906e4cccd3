"""Every program says before its work that it cannot write the output, or must not replace it."""

import pytest

from tests import made
from tests.programs import call, train
from vpt_gen import convert, gallery, main, preview, reconstruct, sample
from vpt_gen.benchmark import __main__ as benchmark
from vpt_gen.errors import UserError
from vpt_gen.evaluate import __main__ as evaluate
from vpt_gen.export import __main__ as export
from vpt_gen.machine import lock
from vpt_gen.packing import grey, photos, targets
from vpt_gen.report import __main__ as report
from vpt_gen.study import __main__ as study

# What comes first: none of these runs and nets exists.
PROGRAMS = {
    "sample": (sample, ["--checkpoint=none"]),
    "sample by default": (sample, []),
    "evaluate": (evaluate, ["--checkpoint=none"]),
    "evaluate by default": (evaluate, []),
    "export": (export, ["--checkpoint=none"]),
    "export by default": (export, []),
    "preview": (preview, ["--transformer=none"]),
    "gallery": (gallery, ["--run=a=none", "--marquee"]),
    "reconstruct": (reconstruct, ["--images=none"]),
    "report": (report, ["--workdir=none"]),
    "report by default": (report, []),
    "convert": (convert, ["--name=maskgit256_tokenizer"]),
    "benchmark": (benchmark, []),
    "grey": (grey, []),
    "photos": (photos, []),
    "targets": (targets, []),
    "main": (main, ["--config=configs/demo.py"]),
    "study": (study, ["--config=configs/study_demo.py"]),
}
FLAGS = {"main": "workdir", "study": "workdir", "report by default": "workdir"}
FLAGS |= {"sample by default": "checkpoint", "evaluate by default": "checkpoint"}
FLAGS |= {"export by default": "checkpoint"}


def start(name, place):
    program, arguments = PROGRAMS[name]
    flag = FLAGS.get(name, "output")
    call(program, *arguments, f"--{flag}={place}", needs_config=False)


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_output_below_a_file_is_refused(name, tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in ("file/a.png", "a" * 300 + "/a.png"):
        with pytest.raises(UserError, match="^Cannot write .*; choose another --") as error:
            start(name, tmp_path / place)
        assert "\n" not in str(error.value)
        assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("evaluate", "metrics.json"),
        ("evaluate", "strip.png"),
        ("reconstruct", "pairs.png"),
        ("reconstruct", "metrics.json"),
        ("export", "tuned.safetensors"),
        ("export", "README.md"),
        ("preview", ""),
        ("gallery", ""),
        ("report", ""),
        ("benchmark", ""),
        ("study", "page.md"),
        ("study", "results.csv"),
        ("study", "results.json"),
    ],
)
def test_a_file_of_somebody_else_is_named(name, file, tmp_path):
    path = tmp_path / "place" / (file or "own")
    path.parent.mkdir()
    path.write_text('{"mine": 1}')
    with pytest.raises(UserError, match=f"{path.name} is not replaced, because vpt_gen did not"):
        start(name, path.parent if file else path)
    assert path.read_text() == '{"mine": 1}'
    assert [other.name for other in path.parent.iterdir()] == [path.name]


def test_a_study_looks_at_its_tables_while_no_other_shard_writes_them(tmp_path, monkeypatch):
    def look(folder):
        with pytest.raises(UserError, match="in use"), lock.held(folder, "--workdir"):
            pass
        raise KeyboardInterrupt

    monkeypatch.setattr(study.results, "open_manifest", look)
    with pytest.raises(KeyboardInterrupt):
        start("study", tmp_path)


def test_a_folder_that_the_trained_net_would_not_replace_is_named_before_training(tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "mine").touch()
    with pytest.raises(UserError, match="net exists and holds no net, so it is not replaced"):
        train(made.tokenizer_config("no data"), tmp_path)
    assert (tmp_path / "net" / "mine").exists()
