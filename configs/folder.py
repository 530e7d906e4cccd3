"""Prompt tuning to your own folder of images: one sub-folder a class, or flat.

  python -m vpt_gen.main --config=configs/folder.py --config.data.path=my_images
  python -m vpt_gen.sample --checkpoint=runs/folder --num=20

`--config=configs/folder.py:lora` adapts by another method (docs/methods.md); `:ar` and `:ar,lora`
adapt the autoregressive model.

Two to five images a class are enough to start. The shipped source models know drawings in color, on
white, at 64x64: point config.backbone.* to a larger one (and image_size to its size) for photos.
"""

from vpt_gen.recipes import color_images


def get_config(variant=""):
    config = color_images(variant)
    config.data.path = ""
    config.data.holdout = 0.0
    return config
