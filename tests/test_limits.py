"""Every number that a user gives has a range, and one outside of it is one sentence."""

import importlib
import math
import types

import jax
import pytest
from absl import flags

from tests.programs import ROOT, flags_of
from tests.study.studies import small_study
from vpt_gen import cli, limits
from vpt_gen.config.check import check_config, check_decoding, check_stages
from vpt_gen.config.fields import default_config
from vpt_gen.config.ranges import check_ranges, config_ranges, table_ranges
from vpt_gen.config.repeat import flatten
from vpt_gen.errors import UserError
from vpt_gen.machine import distributed
from vpt_gen.runs.opened import set_option
from vpt_gen.study.config import FIELDS as STUDY_FIELDS
from vpt_gen.study.config import check_study, default_study


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def numbers_of(config):
    """Names of fields that hold a number or several."""
    fields = flatten(config.to_dict())
    several = {
        name: value if isinstance(value, list) else [value] for name, value in fields.items()
    }
    return {name for name, values in several.items() if any(map(is_number, values))}


def outside(of):
    """Numbers that a range does not have."""
    step = 1 if of.whole else 0.004
    found = [of.low if of.above else of.low - step, of.high if of.below else of.high + step]
    return found if of.whole else [*found, math.nan, math.inf, -math.inf, 1e39]


def put(config, name, value):
    """Sets a field such as "data.shots", or each of its values if it has several."""
    *groups, last = name.split(".")
    for group in groups:
        config = config[group]
    config[last] = (value,) if isinstance(config[last], tuple) else value


@pytest.mark.parametrize("config", limits.every_config(), ids=lambda config: config.task)
def test_every_number_of_a_config_has_a_range_with_its_default(config):
    ranges = config_ranges(config)
    assert numbers_of(config) - ranges.keys() == set()
    check_config(config)


def only_ranges(config):
    """What of `check_config` is quick."""
    check_ranges(config, config_ranges(config))


def test_every_number_outside_of_its_range_is_named():
    seen = set()
    for default in limits.every_config():
        for name, of in config_ranges(default).items():
            if (name, of) in seen or name not in flatten(default.to_dict()):
                continue
            config = default.copy_and_resolve_references()
            seen.add((name, of))
            for value, check in zip(outside(of), [check_config, *[only_ranges] * 6], strict=False):
                put(config, name, value)
                with pytest.raises(UserError) as error:
                    check(config)
                assert str(error.value).startswith(f"config.{name} is ")
                assert str(error.value).endswith(f" must be {of}.")
    assert len(seen) > 80


@pytest.mark.parametrize(
    ("task", "field", "value"),
    [
        ("prompts", "optimizer.learning_rate", -1.0),
        ("prompts", "optimizer.learning_rate", 0.0),
        ("prompts", "optimizer.learning_rate", 1e39),
        ("prompts", "optimizer.b1", 1.5),
        ("prompts", "optimizer.weight_decay", -1.0),
        ("prompts", "optimizer.clip_norm", -1.0),
        ("prompts", "optimizer.warmup_steps", -5),
        ("prompts", "optimizer.warmup_steps", 1001),
        ("prompts", "label_smoothing", 2.0),
        ("prompts", "label_smoothing", -1.0),
        ("prompts", "prompt.dropout_rate", 1.5),
        ("prompts", "prompt.num_prompt_tokens", True),
        ("prompts", "data.shift", -3.0),
        ("prompts", "data.min_scale", 2.0),
        ("prompts", "decode.schedule", "pow0"),
        ("prompts", "decode.schedule", "pow1000"),
        ("prompts", "mask_schedule", "pow0"),
        ("prompts", "decode.choice_temperature", -5.0),
        ("prompts", "seed", 2**63),
        ("prompts", "data.shots_seed", 2**32),
        ("prompts", "mesh.data", 0),
        ("tokenizer", "losses.r1_cost", math.nan),
        ("tokenizer", "model.channel_multipliers", (1, 0, 2)),
        ("gan", "average.decay", 1.0),
        ("gan", "optimizer.epsilon", 0.0),
        ("minegan", "decode.z_scale", math.inf),
        ("cgantransfer", "cgantransfer.scores_l1", -0.1),
        ("transformer", "model.class_dropout", 1.0),
    ],
)
def test_numbers_that_train_nonsense_are_refused(task, field, value):
    config = default_config(task)
    put(config, field, value)
    with pytest.raises(UserError, match=rf"^config\.{field} is .* must be [^\n]+\.$"):
        check_config(config)


def test_a_warmup_may_take_the_whole_run():
    config = default_config("prompts")
    config.optimizer.warmup_steps = config.num_steps
    check_config(config)


@pytest.mark.parametrize(
    "field", ["prompts_lora.prompt_steps", "minegan.miner_steps", "cgantransfer.norm_steps"]
)
def test_a_first_stage_leaves_updates_to_the_second(field):
    task, name = field.split(".")
    config = default_config(task)
    config.data.path, config.num_steps = "images", 10
    config[task][name] = 9
    check_stages(config)
    config[task][name] = 10
    check_config(config)  # A run of older versions can be evaluated.
    with pytest.raises(UserError, match=f"config.{field} is 10; it must be below num_steps, 10"):
        check_stages(config)


@pytest.mark.parametrize(
    "setting", ["guidance=1e999", "choice_temperature=-5", "num_iterations=10**9", "top_p=nan"]
)
def test_decoding_options_are_checked(setting):
    config = default_config("prompts", "ar" if "top_p" in setting else "nar")
    with pytest.raises(UserError):
        set_option(config.decode, setting)
        check_decoding(config)


def test_a_run_of_older_versions_opens_with_the_numbers_that_it_trained_with():
    config = default_config("prompts")
    config.seed, config.optimizer.learning_rate, config.label_smoothing = 2**32, 0.0, 2.0
    check_decoding(config)


def programs():
    """The functions of all programs that define flags, by module."""
    found = {}
    for path in (ROOT / "vpt_gen").rglob("*.py"):
        if "\ndef define_flags" in path.read_text() and path.name != "distributed.py":
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[module] = importlib.import_module(module).define_flags
    return found


def test_every_flag_that_takes_numbers_has_a_range():
    unbounded = []
    for module, define_flags in programs().items():
        with flags_of(types.SimpleNamespace(define_flags=lambda: None, __name__="program")):
            others = set(flags.FLAGS)
            define_flags()
            own = {name: flags.FLAGS[name] for name in set(flags.FLAGS) - others}
            for name, flag in own.items():
                if flag.flag_type() in ("int", "float") and not hasattr(flag.parser, "range"):
                    unbounded.append((module, name))
                delattr(flags.FLAGS, name)
            if any(hasattr(flag.parser, "range") for flag in own.values()):
                assert define_flags in limits.PROGRAMS.values(), module
    assert unbounded == []


def refusal(program, given, capsys):
    """What a program says about a wrong flag."""
    named = types.SimpleNamespace(define_flags=limits.PROGRAMS[program], __name__=program)

    def parse():
        with flags_of(named, given, needs_config=False):
            pytest.fail(f"{given} was accepted")

    assert cli.exit_code(parse) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("program", limits.PROGRAMS)
def test_a_flag_outside_of_its_range_is_named(program, capsys):
    for name, of in limits.flag_ranges(limits.PROGRAMS[program]).items():
        for value in [*outside(of), "many", "nan", "inf", "1e999", ""]:
            said = refusal(program, f"--{name}={value}", capsys)
            assert said.startswith(f"error: --{name} is ")
            assert said.endswith(f"; it must be {of}.\n") and said.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("--nmu=3", "Unknown command line flag 'nmu'. Did you mean: num"),
        ("--trace=maybe", "Non-boolean argument to boolean flag"),
    ],
)
def test_other_wrong_flags_are_one_sentence_too(given, message, capsys):
    said = refusal("sample", given, capsys)
    assert said.startswith("error: ") and message in said and said.count("\n") == 1


def test_a_field_of_another_type_is_one_sentence(tmp_path, capsys):
    file = tmp_path / "config.py"
    file.write_text(
        "from vpt_gen.config import default_config\n\n\ndef get_config():\n"
        "    config = default_config('prompts')\n    config.num_steps = 2.5\n    return config\n"
    )
    said = refusal("main", f"--config={file}", capsys)
    assert "2.5 is of original type <class 'float'>" in said and said.count("\n") == 1
    given = f"--config={ROOT / 'configs' / 'demo.py'}"
    with pytest.raises(UserError, match="--config.num_steps=nan: invalid literal for int"):
        named = types.SimpleNamespace(define_flags=limits.PROGRAMS["main"], __name__="main")
        with flags_of(named, given, "--config.num_steps=nan"):
            pass


def test_help_shows_ranges():
    named = types.SimpleNamespace(define_flags=limits.PROGRAMS["sample"], __name__="sample")
    with flags_of(named, "--checkpoint=runs/demo"):
        words = " ".join(flags.FLAGS.get_help().split())
    assert "Seed of the images. (default: '0') (a whole number from 0 to 4,294,967,295)" in words
    assert "(a number above 0 and up to 1,000,000)" in words


def test_seeds_of_a_range_have_different_keys():
    seeds = [0, 1, 2**31 - 1, 2**31, 2**32 - 1]
    assert len({tuple(jax.random.key_data(jax.random.key(seed)).tolist()) for seed in seeds}) == 5


def test_every_number_of_a_study_has_a_range():
    assert numbers_of(default_study()) - STUDY_FIELDS.keys() == set()
    check_study(small_study())
    for name, of in table_ranges(STUDY_FIELDS).items():
        for value in outside(of):
            study = small_study()
            put(study, name, value)
            with pytest.raises(UserError, match=rf"^config\.{name} is .* must be a"):
                check_study(study)


def test_the_number_of_a_process_is_below_their_count():
    given = ("--coordinator_address=a:1", "--num_processes=2", "--process_id=2")
    named = types.SimpleNamespace(define_flags=distributed.define_flags, __name__="main")
    with (
        flags_of(named, *given, "--distributed"),
        pytest.raises(UserError, match="--process_id is 2; it must be below --num_processes, 2"),
    ):
        distributed.start()
