"""TensorFlow, imported on first use: the import takes seconds, and much code does not need it.

    from vpt_gen.data.lazy import tf

For types in signatures, `from __future__ import annotations` avoids a first use.
"""

import sys

from etils import epy


def _keep_off_gpus(name: str) -> None:
    """Hides GPUs from TensorFlow, which only prepares images: their memory is for JAX."""
    sys.modules[name].config.set_visible_devices([], "GPU")


with epy.lazy_imports(success_callback=_keep_off_gpus):
    import tensorflow as tf  # noqa: F401
