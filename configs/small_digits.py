"""Tune prompts of a small net from configs/small_source.py to handwritten digits.

python -m vpt_gen.main --config=configs/small_digits.py:rar
"""

from vpt_gen.recipes.small import small_digits


def get_config(net="maskgit"):
    return small_digits(net)
