"""Visual prompt tuning for generative transfer learning (arXiv 2210.00990) in JAX and Flax."""

import os

# TensorFlow only feeds the data pipeline here; its start-up messages help nobody.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
