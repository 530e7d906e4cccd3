"""Nets of published files, without the files: for what is computed on paper."""

from typing import Any

from vpt_gen import nets
from vpt_gen.checkpoints.released import READERS
from vpt_gen.checkpoints.released.published import FILES


def published_net(name: str) -> Any:
    """Builds the net of a published file, without parameters.

    Args:
      name: a key of `FILES`.
    """
    net, *_ = READERS[FILES[name].kind]
    return nets.build({"net": net, **FILES[name].fields})
