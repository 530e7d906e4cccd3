"""TensorFlow, imported when it is first used: it takes seconds, and much does without.

    from vpt_gen.data.lazy import tf

Where a signature names a type of it, `from __future__ import annotations` keeps that from being a
first use.
"""

import sys

from etils import epy


def _keep_off_gpus(name: str) -> None:
    """TensorFlow only reads and prepares images: a GPU's memory is for JAX."""
    sys.modules[name].config.set_visible_devices([], "GPU")


with epy.lazy_imports(success_callback=_keep_off_gpus):
    import tensorflow as tf  # noqa: F401
