"""Tune prompts of the published MaskGIT at 512 px to your own folder of images.

  python -m vpt_gen.convert --name=maskgit512_tokenizer
  python -m vpt_gen.convert --name=maskgit512_transformer
  python -m vpt_gen.main --config=configs/maskgit512.py --config.data.path=my_images

Prompts, optimizer and decoding are as released. Needs about 0.9 GB of weights.
"""

from vpt_gen.recipes.adaptation import adaptation


def get_config(method="prompts"):
    return adaptation("nar", method, "maskgit512_tokenizer", "maskgit512_transformer", 512)
