"""The programs as a user starts them: help, and one sentence for what is wrong."""

import re
import shlex
import subprocess
import sys
import threading

import pytest
from absl import flags
from ml_collections import config_flags

from tests.programs import ROOT, call, flags_of, start
from vpt_gen import cli, main, sample
from vpt_gen.data import check


def refusal(program, capsys, *given):
    """What a program says on stderr about what it cannot do."""
    assert cli.exit_code(lambda: call(program, *given)) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    return said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "No --config given"),
        (("--config=configs/nope.py",), "configs/nope.py"),
        (("--config", "configs/nope.py"), "configs/nope.py does not exist"),
        (("--config=README.md",), "README.md is not a Python file"),
        (("configs/demo.py",), "Unexpected argument 'configs/demo.py'"),
        (("--config=configs/demo.py", "--config.optimizer.lr=1"), "Unknown config field 'lr'"),
        (("--config=configs/folder.py", "--config.data.path=nowhere"), "'nowhere' does not exist"),
    ],
)
def test_main_names_what_is_wrong(arguments, message, tmp_path, capsys):
    assert message in refusal(main, capsys, *arguments, f"--workdir={tmp_path / 'run'}")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_process_of_its_own_ends_with_the_sentence_and_its_code(tmp_path):
    run = start("vpt_gen.main", "--config=configs/nope.py", f"--workdir={tmp_path / 'run'}")
    assert run.returncode == 2
    lines = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "configs/nope.py does not exist" in lines[0]
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "run").exists()


def test_sample_names_a_missing_run(tmp_path, capsys):
    given = f"--checkpoint={tmp_path}"
    assert "is not the working directory of a run" in refusal(sample, capsys, given)


@pytest.mark.slow
def test_a_tilde_that_the_shell_has_left_is_the_home(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cli.exit_code(lambda: call(sample, "--checkpoint=~/run~")) == 2
    assert f"{tmp_path}/run~ is not the working directory of a run" in capsys.readouterr().err
    given = ("--config=configs/demo.py", "--config.data.cache_dir=~/tokens", "--workdir=~")
    with flags_of(main, *given):
        assert flags.FLAGS.config.data.cache_dir == f"{tmp_path}/tokens"
        assert flags.FLAGS.workdir == str(tmp_path)


def test_help_explains_the_flags():
    run = start("vpt_gen.sample", "--help")
    assert "--marquee" in run.stdout
    assert "Seed of the images" in run.stdout
    assert run.returncode == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("--seed=\x1b[2J\nerror: x", r"\\x1b\[2J\\nerror: x"),
        ("--nope\x1b[2J=3", r"nope\\x1b\[2J"),
        ("--nope", "Unknown command line flag 'nope'.*see --help"),
    ],
)
def test_a_wrong_flag_is_one_printable_sentence(given, message, tmp_path, capsys):
    said = refusal(sample, capsys, f"--checkpoint={tmp_path}", given)
    assert re.search(message, said) and "\x1b" not in said


def test_a_full_disk_is_one_sentence(capsys):
    def fill():
        raise ValueError("Error writing x: No space left on device [OS error 28]")

    assert cli.exit_code(fill) == 2
    assert "the disk is full" in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError):
        cli.exit_code(lambda: 1 / 0)


def test_check_lists_what_is_missing(tmp_path, capsys):
    call(check, "--only=vtab_dtd,vtab_resisc45,demo", f"--data_dir={tmp_path}")
    said = capsys.readouterr().out
    assert "put NWPU-RESISC45 at" in said
    *_, blank, last = said.splitlines()
    summary = "1 ready, 1 downloadable, 1 needs files. --prepare needs 1.3 GB of disk."
    assert (blank, last) == ("", summary)
    assert list(tmp_path.iterdir()) == [], "only --prepare writes"


def test_check_names_what_is_wrong(capsys):
    message = "error: No config 'vtab_caltec' in configs; did you mean vtab_caltech?\n"
    assert refusal(check, capsys, "--only=vtab_caltec") == message


@pytest.mark.slow
def test_a_reader_that_has_enough_ends_the_program_without_a_traceback():
    program = subprocess.Popen(
        [sys.executable, "-m", "vpt_gen.tables.prompt_sizes"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    program.stdout.close()  # Before a line is written.
    assert program.stderr.read() == ""
    assert program.wait() == 141


def values_of(*given):
    """Flags as a program has them after this command line; ml_collections reads sys.argv."""
    values = flags.FlagValues()
    flags.DEFINE_string("checkpoint", None, "", flag_values=values)
    flags.DEFINE_string("features", None, "", flag_values=values)
    flags.DEFINE_integer("seed", 0, "", flag_values=values)
    flags.DEFINE_bool("gather", False, "", flag_values=values)
    flags.DEFINE_bool("trace", False, "", flag_values=values)
    flags.DEFINE_list("classes", [], "", flag_values=values)
    flags.DEFINE_multi_string("set", [], "", flag_values=values)
    config_flags.DEFINE_config_file("config", flag_values=values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["program", *given])
        values(sys.argv)
    return values


@pytest.mark.parametrize("given", [["--seed", "3"], ["-seed=3"], ["--seed=3"]])
def test_the_command_has_what_was_given_by_its_value(given):
    values = values_of("--checkpoint=runs/a b", *given, "--set=a=4", "--set", "b=1", "--notrace")
    assert cli.command("vpt_gen.x", values=values) == (
        "python -m vpt_gen.x '--checkpoint=runs/a b' --seed=3 --notrace --set=a=4 --set=b=1"
    )


def test_the_command_settles_what_defaults_stood_for_and_leaves_out_what_only_looks():
    values = values_of("--features", "old", "--gather", "--classes=cat,dog")
    command = cli.command("vpt_gen.x", {"features": "new", "step": 7}, ("gather",), values)
    assert command == "python -m vpt_gen.x --classes=cat,dog --features=new --step=7"


@pytest.mark.parametrize("given", ["cat,dog", '"a,b",c', '"a ""b"", c"', ""])
def test_a_list_of_the_command_is_read_as_it_was_given(given):
    values = values_of(f"--classes={given}")
    again = values_of(*shlex.split(cli.command("vpt_gen.x", values=values))[3:])
    assert again.classes == values.classes


def test_the_command_names_the_config_and_the_fields_that_were_set():
    demo = f"{ROOT / 'configs' / 'demo.py'}:lora"
    values = values_of("--config", demo, "--config.data.shots=5")
    command = f"python -m x --config={demo} --config.data.shots=5"
    assert cli.command("x", values=values) == command


def test_an_error_while_an_interrupt_is_handled_is_an_interrupt(capsys):
    def program():
        try:
            raise KeyboardInterrupt
        finally:
            threading.Lock().release()

    assert cli.exit_code(program) == 130
    assert capsys.readouterr().err.startswith("stopped; ")
