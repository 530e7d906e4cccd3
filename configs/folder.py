"""Prompt tuning to your own folder of images: one sub-folder a class, or flat.

  python -m vpt_gen.main --config=configs/folder.py --config.data.path=my_images
  python -m vpt_gen.sample --checkpoint=runs/folder --num=20

`--config=configs/folder.py:lora` adapts by another method (docs/methods.md).

Two to five images a class are enough to start. The shipped source model knows grey drawings at
32x32: point config.backbone.* to a larger one (and image_size to its size) for photographs.
"""

from vpt_gen.recipes import few_images, fit_demo_source


def get_config(method="prompts"):
    config = few_images("nar", method)
    config.data.path = ""
    config.data.holdout = 0.0
    config.data.image_size = 32
    fit_demo_source(config)
    return config
