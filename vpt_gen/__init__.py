"""Visual prompt tuning for generative transfer learning (arXiv 2210.00990) in JAX and Flax."""
