"""Tune prompts to your own images: one folder per class, or one flat folder.

  python -m vpt_gen.main --config=configs/folder.py --config.data.path=my_images
  python -m vpt_gen.sample --checkpoint=runs/folder --num=20

Append what to adapt: `--config=configs/folder.py:maskgit256` takes a published model, which arrives
by itself (docs/weights.md). Without, the shipped autoregressive model is adapted, which knows
photographs and drawings, at 32x32; `:nar` takes the masked one, which can repaint any part of an
image (docs/editing.md). Append how: `:lora` or `:maskgit256,lora` uses another method
(docs/methods.md).

Two to five images per class are enough to start. All are trained on; to compare generated images
with others, set config.data.holdout to the share of each class to hold out, such as 0.2.
"""

from vpt_gen.recipes.adaptation import folder


def get_config(variant=""):
    return folder(variant)
