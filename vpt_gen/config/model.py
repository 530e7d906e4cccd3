"""`config.model`: the fields of the net that a task pretrains, taken from the net itself."""

import dataclasses

from ml_collections import ConfigDict

from vpt_gen.nets import NETS

# Task -> the only net that it pretrains; configs of the other tasks name their net.
_NETS = {"gan": "biggan", "classifier": "classifier"}
# The tokenizer that is pretrained by default.
TOKENIZER = "vqgan"
# A family's default transformer.
OF_FAMILY = {"nar": "maskgit", "ar": "gpt"}
# Fields of every Linen module, and options of the computation.
_OTHERS = ("parent", "name", "remat")


def model_fields(task: str, name: str) -> ConfigDict:
    """Returns the fields with their defaults, without those in the net's `from_data`.

    Args:
      task: of `config.fields.PRETRAINING`.
      name: key of `nets.NETS`, for the tasks "tokenizer" and "transformer".
    """
    net = NETS[_NETS.get(task, name)]
    model = ConfigDict({} if task in _NETS else {"net": name})
    for field in dataclasses.fields(net):
        if field.name not in (*_OTHERS, *net.from_data):
            model[field.name] = field.default
    model.update(getattr(net, "pretraining", {}))
    return model
