"""Tune prompts to your own images: one folder per class, or one flat folder.

  python -m vpt_gen.main --config=configs/folder.py --config.data.path=my_images
  python -m vpt_gen.sample --checkpoint=runs/folder --num=20

`--config=configs/folder.py:lora` uses another method (docs/methods.md); `:ar` and `:ar,lora` use
the autoregressive model.

Two to five images per class are enough to start. The shipped source models know color drawings on
white, at 64x64. For photographs, set config.backbone.* to a larger model and config.data.image_size
to its size (docs/weights.md).
"""

from vpt_gen.recipes.adaptation import color_images


def get_config(variant=""):
    config = color_images(variant)
    config.data.path = ""
    config.data.holdout = 0.0
    return config
