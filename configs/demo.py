"""Tune prompts of the shipped source model (gray drawings, 32x32) to handwritten digits.

bash launch/demo.sh
python -m vpt_gen.main --config=configs/demo.py:lora     # another method (docs/methods.md)
"""

from vpt_gen.recipes.adaptation import demo


def get_config(method="prompts"):
    return demo("nar", method)
