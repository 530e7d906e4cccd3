"""`config.model`: the fields of the net that a task pretrains, taken from the net itself."""

import dataclasses
from typing import Any

from ml_collections import ConfigDict

from vpt_gen.nets import NETS

# Task -> the net that it pretrains; a transformer's config names its net.
_NETS = {"tokenizer": "vqgan", "gan": "biggan", "classifier": "classifier"}
# A family's default transformer.
OF_FAMILY = {"nar": "maskgit", "ar": "gpt"}
# Fields of every Linen module, and options of the computation.
_OTHERS = ("parent", "name", "remat")


def net_of(task: str, transformer: str) -> type[Any]:
    """Returns the net that a task pretrains; for arguments see `model_fields`."""
    return NETS[_NETS.get(task, transformer)]


def model_fields(task: str, transformer: str) -> ConfigDict:
    """Returns the fields with their defaults, without those in the net's `from_data`.

    Args:
      task: of `config.fields.PRETRAINING`.
      transformer: key of `nets.NETS`, for the task "transformer".
    """
    net = net_of(task, transformer)
    model = ConfigDict({"net": transformer} if task == "transformer" else {})
    for field in dataclasses.fields(net):
        if field.name not in (*_OTHERS, *net.from_data):
            model[field.name] = field.default
    model.update(getattr(net, "pretraining", {}))
    return model
