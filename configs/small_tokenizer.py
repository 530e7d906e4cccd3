"""Train a small TiTok, whose tokens have no places, on the drawings of the demo's source.

bash launch/fetch.sh grey downloads
python -m vpt_gen.main --config=configs/small_tokenizer.py --workdir=runs/small/titok

It learns the codes that the demo's VQGAN gives to an image, as in the first stage of TiTok.
"""

from vpt_gen.recipes.small import small_tokenizer


def get_config():
    return small_tokenizer()
