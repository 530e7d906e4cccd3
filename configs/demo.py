"""Prompt tuning of the shipped source model (grey drawings, 32x32) to handwritten digits.

bash launch/demo.sh
python -m vpt_gen.main --config=configs/demo.py:lora     another method (docs/methods.md)
"""

from vpt_gen.config import GAN_METHODS
from vpt_gen.recipes import demo


def get_config(method="prompts"):
    config = demo("nar", method)
    if method not in GAN_METHODS:
        config.decode.num_iterations = 12
        # Little noise in the choice: a digit's class counts for more here than its variety.
        config.decode.choice_temperature = 1.0
    return config
