"""Compare guidance that is distilled into prompts with guided and unguided drawing.

  python -m vpt_gen.study --config=configs/study_distilled_guidance.py
  python -m vpt_gen.study --config=configs/study_distilled_guidance.py:demo_ar    # autoregressive

A guided image takes two passes through the net per iteration, all others one. Guidance with half
of the iterations costs what the others cost. docs/decoders.md describes distilled guidance.
"""

from vpt_gen.errors import UserError
from vpt_gen.study.config import dataset, default_study, in_order, variant

_DEMOS = ("demo", "demo_ar")


def get_config(demo="demo"):
    if demo not in _DEMOS:
        raise UserError(f"This study takes {' or '.join(_DEMOS)} as its argument, not {demo!r}.")
    study = default_study()
    study.title = "Handwritten digits: guidance in two passes and in one"
    study.variants = in_order(
        guided=variant("prompts", "guidance 1, two passes"),
        unguided=drawn_otherwise("no guidance", "--set=guidance=0"),
        **{f"distilled_{scale:g}": distilled(scale) for scale in (1.0, 2.0)},
    )
    if demo == "demo":
        study.variants.guided_half = drawn_otherwise(
            "guidance 1, half of the iterations", "--set=num_iterations=6"
        )
    study.datasets = in_order(digits=dataset(f"configs/{demo}.py", "Handwritten digits"))
    study.shots = (20, 0)
    study.seeds = (0, 1, 2)
    study.budget.steps = 450
    # No search: the demo's learning rate for all.
    study.search.multiples = (1.0,)
    study.samples.num = 500
    study.samples.judge_shots = 100
    return study


def distilled(scale):
    """Prompts that learn guidance of a scale."""
    fields = {"distilled_guidance": scale, "decode": {"guidance": 0.0}}
    return variant("prompts", f"guidance {scale:g} distilled", set=fields)


def drawn_otherwise(label, flag):
    """The guided variant's prompts, drawn with other settings."""
    return variant("prompts", label, trained_as="guided", sampling=[flag])
