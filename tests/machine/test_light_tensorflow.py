"""TensorFlow and CLU's writers come without Keras, which a process may still import afterward."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import sys

from vpt_gen.data.lazy import tf
from vpt_gen.machine.light_tensorflow import without_keras

tf.constant(1)
with without_keras():
    from clu import metric_writers
unwanted = ("keras", "tf_keras", "sklearn", "pandas", "matplotlib")
print([name for name in unwanted if name in sys.modules])
metric_writers.SummaryWriter(sys.argv[1]).write_scalars(1, {"loss": 0.5})
print(tf.keras.layers.Dense(3).units, tf.keras.optimizers.SGD(0.5).name)
"""


def test_keras_is_imported_on_first_use_only(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines() == ["[]", "3 sgd"]
    assert len(list(tmp_path.glob("events.*"))) == 1
