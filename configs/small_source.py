"""Pretrain a small net of one kind on the drawings of the demo's source, to compare kinds.

bash launch/fetch.sh grey downloads
python -m vpt_gen.main --config=configs/small_source.py:rar --workdir=runs/small/rar

The argument is a kind of net: maskgit, gpt, halton_maskgit, llamagen, rar, or titok_maskgit, which
needs the net of configs/small_tokenizer.py.
"""

from vpt_gen.recipes.small import small_source


def get_config(net="maskgit"):
    return small_source(net)
