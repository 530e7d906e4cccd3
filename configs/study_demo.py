"""Compare methods on handwritten digits, with 5, 20 and 100 images per class.

  python -m vpt_gen.study --config=configs/study_demo.py            # equal updates
  python -m vpt_gen.study --config=configs/study_demo.py:seconds    # equal time, only 20 per class

They take about three hours and one hour on two cores. docs/study.md explains studies.
"""

from vpt_gen.errors import UserError
from vpt_gen.study.config import (
    dataset,
    default_study,
    in_order,
    variant,
)


def get_config(budget="steps"):
    study = default_study()
    study.title = f"Handwritten digits: every method, the same {budget}"
    study.variants = in_order(**methods(), **prompts())
    study.datasets = in_order(digits=dataset("configs/demo.py", "Handwritten digits"))
    study.shots = (5, 20, 100)
    study.seeds = (0, 1, 2)
    if budget == "steps":
        study.budget.steps = 150
    elif budget == "seconds":
        study.shots = (20,)
        study.budget.seconds = 15.0
        study.budget.calibration_steps = 30
    else:
        raise UserError(f"This study takes steps or seconds as its argument, not {budget!r}.")
    # Half the budget separates rates that differ threefold. One search serves all shots.
    study.search.multiples = (1 / 9, 1 / 3, 1.0, 3.0, 9.0)
    study.search.shots = 20
    study.search.share = 0.5
    study.samples.num = 200
    study.samples.judge_shots = 100
    return study


def methods():
    """Returns methods without prompts, by default settings; a GAN's first stage is a third."""
    names = ("scratch", "finetune", "norm_bias", "lora", "adapters", "deep_prompts")
    variants = {name: variant(name, name.replace("_", " ")) for name in (*names, "class_embedding")}
    stages = {"minegan": "miner_steps", "cgantransfer": "norm_steps"}
    for name, steps in stages.items():
        shares = {name: {steps: 1 / 3}}
        variants[name] = variant(name, shares=shares, keep_best=True)
    return variants


# As the other methods are decoded: the demo guides its prompts and reveals tokens in Halton order.
_DECODE = {"decoder": "confidence", "guidance": 0.0}


def prompts():
    """Returns prompts: the demo's, other lengths, factorized, and with instances."""
    designs = {
        "prompts": {},
        "prompts_s1": {"num_prompt_tokens": 1, "design": "additive"},
        "prompts_s4": {"num_prompt_tokens": 4, "design": "additive"},
        "prompts_s16": {"num_prompt_tokens": 16, "design": "additive"},
        "prompts_s1_f4": {"num_prompt_tokens": 1, "design": "factorized", "num_factors": 4},
        "prompts_s4_f4": {"num_prompt_tokens": 4, "design": "factorized", "num_factors": 4},
        "prompts_s16_f4": {"num_prompt_tokens": 16, "design": "factorized", "num_factors": 4},
        "prompts_instances": {"condition": "class+instance"},
    }
    labels = {
        "prompts": "prompts, full, S = 16",
        "prompts_s1": "prompts, S = 1, F = 1",
        "prompts_s4": "prompts, S = 4, F = 1",
        "prompts_s16": "prompts, S = 16, F = 1",
        "prompts_s1_f4": "prompts, S = 1, F = 4",
        "prompts_s4_f4": "prompts, S = 4, F = 4",
        "prompts_s16_f4": "prompts, S = 16, F = 4",
        "prompts_instances": "prompts, class + instance",
    }
    variants = {
        name: variant("prompts", labels[name], {"prompt": fields, "decode": _DECODE})
        for name, fields in designs.items()
    }
    variants["prompts_marquee"] = variant(
        "prompts",
        "prompts, class + instance, marquee",
        trained_as="prompts_instances",
        sampling=["--marquee=instance_to_class"],
    )
    return variants
