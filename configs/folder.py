"""Prompt tuning to your own folder of images: one sub-folder a class, or flat.

  python -m vpt_gen.main --config=configs/folder.py --config.data.path=my_images
  python -m vpt_gen.sample --checkpoint=runs/folder --num=20

`--config=configs/folder.py:lora` adapts by another method (docs/methods.md).

Two to five images a class are enough to start. The shipped source model knows grey drawings at
32x32: point config.backbone.* to a larger one (and image_size to its size) for photographs.
"""

from vpt_gen.config import default_config
from vpt_gen.recipes import check_method, fit_demo_source


def get_config(method="prompts"):
    config = default_config(check_method(method))
    config.num_steps = 300
    config.batch_size = 32
    config.eval_every = 100
    config.checkpoint_every = 100

    config.data.kind = "folder"
    config.data.path = ""
    config.data.holdout = 0.0
    config.data.image_size = 32
    config.data.fit = "pad"
    # Small moves make few images go further. Mirroring is left to you: it changes text and digits.
    config.data.shift = 0.05
    config.data.rotation = 5.0
    config.data.cache_views = 16

    fit_demo_source(config)
    return config
