"""Find the settings of prompts on the shipped source: number and design, decoder and guidance.

  bash launch/fetch.sh targets downloads
  python -m vpt_gen.study --config=configs/study_settings.py
  python -m vpt_gen.study --config=configs/study_settings.py:ar

Candidates for the defaults of configs/folder.py (docs/prompts.md). Other images are held out than
in the configs that report metrics, by another seed: a fifth of these stamps, and half of these
garments, are held out there, too.
"""

import re

from vpt_gen.config.fields import FAMILIES
from vpt_gen.errors import UserError
from vpt_gen.study.config import dataset, default_study, in_order, variant

# Decoding options of the variants that train.
_DRAWN = {
    "nar": {"decoder": "confidence", "guidance": 1.0},
    "ar": {"guidance": 1.0},
}
# Label -> decoding options that differ.
_OTHERWISE = {
    "nar": {
        "no guidance": {"guidance": 0.0},
        "guidance 0.5": {"guidance": 0.5},
        "guidance 2": {"guidance": 2.0},
        "guidance 1, not in the first third": {"guidance_start": 0.34},
        "guidance 2, not in the first third": {"guidance": 2.0, "guidance_start": 0.34},
        "token temperature 0.8": {"temperature": 0.8},
        "choice temperature 4.5": {"choice_temperature": 4.5},
        "20 iterations": {"num_iterations": 20},
        "Halton, guidance 0.5": {"decoder": "halton", "guidance": 0.5},
        "Halton, guidance 1": {"decoder": "halton"},
        "Halton, guidance 2": {"decoder": "halton", "guidance": 2.0},
    },
    "ar": {
        "no guidance": {"guidance": 0.0},
        "guidance 0.5": {"guidance": 0.5},
        "guidance 2": {"guidance": 2.0},
        "temperature 1": {"temperature": 1.0},
        "temperature 0.8, top_p 0.95": {"temperature": 0.8, "top_p": 0.95},
    },
}


def get_config(family="nar"):
    if family not in FAMILIES:
        raise UserError(
            f"This study takes {' or '.join(FAMILIES)} as its argument, not {family!r}."
        )
    study = default_study()
    study.title = "Settings of prompts on the photos source"
    most = 16 if family == "nar" else 64
    study.variants = in_order(
        full=prompts(family, "full", most),
        **{f"full_{few}": prompts(family, "full", few) for few in (most // 4, 1)},
        factorized=prompts(family, "factorized", most),
        **{
            re.sub("[ .,]+", "_", label): drawn_otherwise(label, settings)
            for label, settings in _OTHERWISE[family].items()
        },
    )
    other = {"data": {"holdout_seed": 1}}
    study.datasets = in_order(
        stamps=dataset(f"configs/fewshot_stamps.py:{family}", "Stamps", other),
        garments=dataset(f"configs/fewshot_fashion.py:{family}", "Garments", other),
    )
    study.shots = (5,)
    study.seeds = (0, 1)
    study.budget.steps = 300
    study.search.multiples = (1.0,)
    study.validation = 0.0
    study.samples.num = 200
    study.samples.features = "photos"
    study.samples.judge_shots = 20
    return study


def prompts(family, design, number):
    """Prompts of a design, of a number of tokens."""
    prompt = {"design": design, "num_prompt_tokens": number}
    label = f"{design}, {number} tokens"
    return variant("prompts", label, set={"prompt": prompt, "decode": _DRAWN[family]})


def drawn_otherwise(label, settings):
    """The first variant's prompts, drawn with other settings."""
    flags = [f"--set={name}={value}" for name, value in settings.items()]
    return variant("prompts", label, trained_as="full", sampling=flags)
