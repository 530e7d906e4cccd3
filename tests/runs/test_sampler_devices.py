"""What eight devices tell each other while they draw a batch together."""

import pytest

from tests.collectives import collectives
from tests.jobs import read_config, write_config
from tests.programs import opened, train
from vpt_gen.runs.generation import even_class_ids, plain_generation

pytestmark = pytest.mark.slow
DEVICES, TOKENS, CODES, PROMPTS, WIDTH = 8, 16, 16, 3, 16


def test_each_draws_its_images_and_only_tokens_and_what_conditions_share_is_gathered(tmp_path):
    config = write_config(tmp_path, num_steps=1, checkpoint_every=0, eval_every=0)
    train(read_config(config), tmp_path / "run")
    run = opened(tmp_path / "run", devices=DEVICES)
    # The programs of a batch, as they are compiled for it.
    programs = {}
    for name in ("_tokens", "_detokenize"):
        vars(run.token_sampler)[name] = recording(getattr(run.token_sampler, name), name, programs)
    plain_generation(run, even_class_ids(DEVICES, 2), 0).samples()
    drawing, images = programs["_tokens"], programs["_detokenize"]
    assert collectives(images) == {"all-gather": [(DEVICES, 16, 16, 3)]}
    assert set(collectives(drawing)) == {"all-gather"}
    assert sorted(collectives(drawing)["all-gather"]) == [
        # Prompts and the first iteration's logits, computed once for all images of a condition.
        (DEVICES, PROMPTS, WIDTH),
        # The result: tokens, and when each was fixed.
        (DEVICES, TOKENS),
        (DEVICES, TOKENS),
        (DEVICES, TOKENS + 1, CODES),
    ]
    assert not any(collectives(loop) for loop in loops(drawing))


def recording(program, name, programs):
    def call(*arguments):
        programs.setdefault(name, program.lower(*arguments).compile().as_text())
        return program(*arguments)

    return call


def loops(text):
    """The computations of a compiled program that a loop repeats."""
    bodies = {line.split("body=")[1].split(",")[0] for line in text.splitlines() if "body=" in line}
    assert bodies
    return [text.split(f"\n{name} ")[1].split("\n}")[0] for name in bodies]
