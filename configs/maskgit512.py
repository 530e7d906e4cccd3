"""Prompt tuning of the published MaskGIT at 512 px to your own folder of images.

  python -m vpt_gen.convert --name=maskgit512_tokenizer
  python -m vpt_gen.convert --name=maskgit512_transformer
  python -m vpt_gen.main --config=configs/maskgit512.py --config.data.path=my_images

The released prompts, optimiser and decoding; about 0.9 GB of weights.
"""

from vpt_gen.recipes import prompt_tuning


def get_config():
    return prompt_tuning("nar", "maskgit512_tokenizer", "maskgit512_transformer", 512)
