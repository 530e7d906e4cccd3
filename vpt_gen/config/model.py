"""`config.model`: the fields of the net that a task pretrains, taken from the net itself."""

import dataclasses
from typing import Any

from ml_collections import ConfigDict

from vpt_gen.nets import NETS
from vpt_gen.nets.transformer import OPTIONS

# Task -> the only net that it pretrains; configs of the other tasks name their net.
_NETS = {"gan": "biggan", "classifier": "classifier"}
# The tokenizer that is pretrained by default.
TOKENIZER = "vqgan"
# A family's default transformer.
OF_FAMILY = {"nar": "maskgit", "ar": "gpt"}
# Fields of every Linen module, and options of the computation.
_OTHERS = ("parent", "name", *OPTIONS)


def net_of(task: str, name: str) -> type[Any]:
    """Returns the net that a task pretrains; for arguments see `model_fields`."""
    return NETS[_NETS.get(task, name)]


def model_fields(task: str, name: str) -> ConfigDict:
    """Returns the fields with their defaults, without those in the net's `from_data`.

    Args:
      task: of `config.fields.PRETRAINING`.
      name: key of `nets.NETS`, for the tasks "tokenizer" and "transformer".
    """
    net = net_of(task, name)
    model = ConfigDict({} if task in _NETS else {"net": name})
    for field in dataclasses.fields(net):
        if field.name not in (*_OTHERS, *net.from_data):
            model[field.name] = field.default
    model.update(getattr(net, "pretraining", {}))
    return model
