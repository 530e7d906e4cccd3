"""Compare two designs of prompts on a few handwritten digits: a study that takes minutes.

python -m vpt_gen.study --config=configs/study_quick.py
"""

from vpt_gen.study.config import (
    dataset,
    default_study,
    in_order,
    variant,
)


def get_config():
    study = default_study()
    study.title = "A quick study"
    study.variants = in_order(
        full=variant("prompts", "prompts, full"),
        additive=variant("prompts", "prompts, additive", {"prompt": {"design": "additive"}}),
    )
    study.datasets = in_order(digits=dataset("configs/demo.py", "Handwritten digits"))
    study.shots = (5,)
    study.seeds = (0, 1)
    study.budget.steps = 30
    # No search: the default learning rates.
    study.search.multiples = (1.0,)
    study.samples.num = 100
    study.samples.judge_shots = 100
    return study
