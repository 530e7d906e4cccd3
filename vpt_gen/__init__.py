"""Visual prompt tuning for generative transfer learning (arXiv 2210.00990) in JAX and Flax."""

import os

__version__ = "0.1.0"

# TensorFlow only feeds the data pipeline here. Its start-up messages are noise, and oneDNN makes
# its rounding depend on the machine.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
