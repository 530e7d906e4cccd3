"""Run the demo with the autoregressive source model instead of the masked one.

bash launch/demo.sh --config=configs/demo_ar.py --workdir=runs/demo_ar
python -m vpt_gen.main --config=configs/demo_ar.py:lora     # another method (docs/methods.md)
"""

from vpt_gen.config.fields import GAN_METHODS
from vpt_gen.recipes.adaptation import demo


def get_config(method="prompts"):
    config = demo("ar", method)
    if method == "prompts":
        config.optimizer.learning_rate = 2e-2
    if method not in GAN_METHODS:
        # An early wrong stroke spoils the rest of the image, so sample conservatively.
        config.decode.temperature = 0.6
        config.decode.top_p = 0.95
    return config
