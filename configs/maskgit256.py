"""Tune prompts of the published MaskGIT at 256 px to your own folder of images.

  python -m vpt_gen.convert --name=maskgit256_tokenizer
  python -m vpt_gen.convert --name=maskgit256_transformer
  python -m vpt_gen.main --config=configs/maskgit256.py --config.data.path=my_images

Prompts, optimizer and decoding are as released. Needs about 0.9 GB of weights.
"""

from vpt_gen.recipes.adaptation import adaptation


def get_config(method="prompts"):
    return adaptation("nar", method, "maskgit256_tokenizer", "maskgit256_transformer", 256)
