"""The released recipe of prompt tuning, for configs of published 256- and 512-pixel models.

Source of the numbers: google-research/generative_transfer (NAR). For AR, the same prompts and
optimiser on a GPT; the paper's own AR settings are not published as code.
"""

from ml_collections import ConfigDict

from vpt_gen.config import default_config


def prompt_tuning(family: str, tokenizer: str, transformer: str, image_size: int) -> ConfigDict:
    """Prompt tuning to a folder of images.

    Args:
      family: 'nar' or 'ar'.
      tokenizer: name of the published tokenizer, as `vpt_gen.convert` has it.
      transformer: name of the published transformer.
      image_size: side of its images, pixels.
    """
    config = default_config("prompts", family)
    config.num_steps = 5000
    config.batch_size = 32
    config.eval_every = 1000
    config.checkpoint_every = 500
    config.data.kind = "folder"
    config.data.holdout = 0.0
    config.data.image_size = image_size
    config.backbone.tokenizer = f"weights/{tokenizer}"
    config.backbone.transformer = f"weights/{transformer}"
    config.decode.batch_size = 8
    return config
