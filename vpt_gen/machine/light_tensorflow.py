"""Imports TensorFlow without Keras, which takes up to half of the import.

TensorFlow imports Keras for its optimizers, and TensorBoard for a callback. Keras in turn imports
scikit-learn, pandas and Matplotlib if they are installed. Nothing here uses Keras.
"""

import contextlib
import sys
import types
from collections.abc import Iterator

# TensorFlow imports this one, and goes on if it cannot be imported.
_OPTIMIZERS = "keras.src.optimizers"
# `tensorboard.plugins.hparams.api` takes its Keras callback from here.
_CALLBACK = "tensorboard.plugins.hparams._keras"


@contextlib.contextmanager
def without_keras() -> Iterator[None]:
    """Leaves Keras out of the imports of the block: of TensorFlow, TensorBoard and CLU.

    `tf.keras` is imported on first use afterward, as usual. Only TensorBoard's `KerasCallback` is
    lacking in this process.
    """
    callback = types.ModuleType(_CALLBACK)
    callback.Callback = None  # type: ignore[attr-defined]
    modules: dict[str, types.ModuleType | None] = sys.modules  # type: ignore[assignment]
    # None makes an import fail.
    stand_ins = {_OPTIMIZERS: None, _CALLBACK: callback}
    ours = {name: x for name, x in stand_ins.items() if name not in modules}
    modules.update(ours)
    try:
        yield
    finally:
        for name in ours:
            del modules[name]
