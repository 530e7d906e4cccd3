"""TensorFlow, imported on first use: the import takes seconds, and much code does not need it.

    from vpt_gen.data.lazy import tf

For types in signatures, `from __future__ import annotations` avoids a first use.
"""

import functools
from typing import TYPE_CHECKING, Any

from vpt_gen.machine.light_tensorflow import without_keras


@functools.cache
def _imported() -> Any:
    with without_keras():
        import tensorflow
    # It only prepares images: the memory of GPUs is for JAX.
    tensorflow.config.set_visible_devices([], "GPU")
    return tensorflow


class _OnFirstUse:
    def __getattr__(self, name: str) -> Any:
        return getattr(_imported(), name)


if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = _OnFirstUse()
