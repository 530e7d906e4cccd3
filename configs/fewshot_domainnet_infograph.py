"""Tune prompts to DomainNet's Infograph, five images per class: outside the source's domain.

python -m vpt_gen.main --config=configs/fewshot_domainnet_infograph.py
"""

from vpt_gen.recipes.adaptation import fewshot


def get_config(variant=""):
    config = fewshot(variant)
    config.data.kind = "tfds"
    config.data.name = "domainnet/infograph:1.0.0"
    config.data.eval_split = "test"
    config.data.shots = 5
    return config
