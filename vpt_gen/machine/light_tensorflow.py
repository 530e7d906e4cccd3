"""TensorFlow without Keras, which takes up to half of the time to import it.

TensorFlow imports Keras for its optimizers, and TensorBoard for a callback. Keras in turn imports
scikit-learn, pandas and Matplotlib if they are installed. Nothing here uses it.
"""

import contextlib
import os
import sys
import types
from collections.abc import Iterator

# With it TensorFlow looks for another Keras, and goes on if there is none.
_OTHER_KERAS = "TF_USE_LEGACY_KERAS"
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
    given = os.environ.get(_OTHER_KERAS)
    os.environ[_OTHER_KERAS] = "1"
    is_ours = sys.modules.setdefault(_CALLBACK, callback) is callback
    try:
        yield
    finally:
        if is_ours:
            del sys.modules[_CALLBACK]
        del os.environ[_OTHER_KERAS]
        if given is not None:
            os.environ[_OTHER_KERAS] = given
