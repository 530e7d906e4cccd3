"""Compare related ways to adapt a transformer, with 5 and 20 images per class.

  python -m vpt_gen.study --config=configs/study_methods.py             # the demo's digits
  python -m vpt_gen.study --config=configs/study_methods.py:demo_ar     # its autoregressive twin
  bash launch/fetch.sh targets downloads
  python -m vpt_gen.study --config=configs/study_methods.py:photos      # stamps and garments

A class alone (a token, or a mixture of the source's), keys and values that classes share or not,
norms with and without biases and scales of branches, prompts with and without LoRA, and fine-tuning
and LoRA, also with images that the source drew (prior preservation), or with guidance by the
adapted net or by the source. docs/methods.md describes them.
"""

from vpt_gen.errors import UserError
from vpt_gen.study.config import (
    dataset,
    default_study,
    in_order,
    variant,
)


def get_config(source="demo"):
    if source not in _DATASETS:
        raise UserError(f"This study takes one of {', '.join(_DATASETS)}, not {source!r}.")
    study = default_study()
    sets = _DATASETS[source]
    titles = " and ".join(label for _, label in sets.values())
    study.title = f"{titles}: related methods, the same steps"
    plain = (
        "class_embedding",
        "class_mixture",
        "deep_prompts",
        "class_deep_prompts",
        "norms",
        "norm_bias",
        "difffit",
        "lora",
    )
    study.variants = in_order(
        **{name: variant(name, name.replace("_", " ")) for name in plain},
        # Decoded like the others, so without guidance.
        prompts=variant("prompts", set={"decode": _UNGUIDED[source]}),
        # The first half of the updates are those of the prompts alone.
        prompts_lora=variant(
            "prompts_lora", "prompts, then LoRA", shares={"prompts_lora": {"prompt_steps": 0.5}}
        ),
        finetune=variant("finetune"),
        **{
            f"{name}_prior": variant(name, f"{name}, prior kept", set={"prior": {"weight": 1.0}})
            for name in ("lora", "finetune")
        },
        **{
            f"{name}_{kind}": variant(
                name,
                f"{name}, {label}",
                trained_as=name,
                sampling=["--set=guidance=1.0", *flags],
            )
            for name in ("lora", "finetune")
            for kind, (label, flags) in _GUIDED.items()
        },
    )
    study.datasets = in_order(
        **{name: dataset(f"configs/{file}.py", label) for name, (file, label) in sets.items()}
    )
    study.shots = (5, 20)
    study.seeds = (0, 1, 2)
    study.budget.steps = 150
    study.search.multiples = (1 / 3, 1.0, 3.0)
    study.search.shots = 20
    study.search.share = 0.5
    study.samples.num = 200
    study.samples.judge_shots = 100
    if source == "photos":
        study.samples.features = "photos"
        # Of the stamps no more are left.
        study.samples.judge_shots = 20
        # Stamps have no validation images to spare.
        study.search.multiples = (1.0,)
        study.validation = 0.0
    return study


# Source -> data set -> its config file, and a label.
_DATASETS = {
    "demo": {"digits": ("demo", "Handwritten digits")},
    "demo_ar": {"digits": ("demo_ar", "Handwritten digits")},
    "photos": {"stamps": ("fewshot_stamps", "Stamps"), "garments": ("fewshot_fashion", "Garments")},
}
_UNGUIDED = {
    "demo": {"decoder": "confidence", "guidance": 0.0},
    "demo_ar": {"guidance": 0.0},
    "photos": {"guidance": 0.0},
}
_GUIDED = {
    "guided": ("guidance", []),
    "domain": ("domain guidance", ["--set=domain_guidance=True"]),
}
