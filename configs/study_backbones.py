"""Compare kinds of nets, and ways in which prompts enter them, at equal compute.

  bash launch/study_backbones.sh                                   # pretraining and the study
  python -m vpt_gen.study --config=configs/study_backbones.py      # the study alone

The nets are those of configs/small_source.py. Every update has about the same FLOPs: cheaper ones
have more images (`python -m pytest tests/test_equal_compute.py`). The learning rate is the demo's;
--config.search.multiples='(0.333,1.0,3.0)' searches.
"""

from vpt_gen.study.config import dataset, default_study, in_order, variant

# The nets, then other ways in which prompts enter them.
# Name -> label, net, fields of `config.prompt`, images per update. S counts prompt tokens.
_VARIANTS = {
    "maskgit": ("MaskGIT, S = 16", "maskgit", {}, 48),
    "gpt": ("GPT, S = 64", "gpt", {}, 28),
    "halton": ("Halton-MaskGIT, S = 16", "halton_maskgit", {}, 48),
    "llamagen_zero": ("LlamaGen, zero, S = 4", "llamagen", {"num_prompt_tokens": 4}, 61),
    "rar": ("RAR, S = 64", "rar", {}, 27),
    "titok": ("TiTok generator, S = 16, by confidence", "titok_maskgit", {}, 90),
    "halton_vector": (
        "Halton-MaskGIT, S = 16 and vector",
        "halton_maskgit",
        {"vector": True},
        48,
    ),
    "halton_vector_only": (
        "Halton-MaskGIT, vector",
        "halton_maskgit",
        {"num_prompt_tokens": 0, "vector": True},
        61,
    ),
    "llamagen_plain": (
        "LlamaGen, plain, S = 4",
        "llamagen",
        {"num_prompt_tokens": 4, "rotation": "plain"},
        60,
    ),
    "llamagen_identity": (
        "LlamaGen, identity, S = 4",
        "llamagen",
        {"num_prompt_tokens": 4, "rotation": "identity"},
        60,
    ),
    "llamagen_identity_s64": (
        "LlamaGen, identity, S = 64",
        "llamagen",
        {"rotation": "identity"},
        28,
    ),
    "rar_vector": ("RAR, S = 64 and vector", "rar", {"vector": True}, 23),
    "rar_vector_only": ("RAR, vector", "rar", {"num_prompt_tokens": 0, "vector": True}, 44),
}


def get_config():
    study = default_study()
    study.title = "Kinds of nets: prompts at equal compute"
    study.variants = in_order(
        **{
            name: variant(net, label, {"prompt": prompt, "batch_size": images})
            for name, (label, net, prompt, images) in _VARIANTS.items()
        }
    )
    study.variants.maskgit_confidence = variant(
        "maskgit",
        "MaskGIT, S = 16, by confidence",
        trained_as="maskgit",
        sampling=["--set=decoder=confidence"],
    )
    study.datasets = in_order(digits=dataset("configs/small_digits.py", "Handwritten digits"))
    # All remaining images.
    study.shots = (0,)
    study.seeds = (0, 1, 2)
    study.budget.steps = 300
    # No search: the demo's learning rate for all.
    study.search.multiples = (1.0,)
    study.samples.num = 500
    study.samples.judge_shots = 100
    return study
