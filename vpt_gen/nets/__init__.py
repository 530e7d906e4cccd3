"""Flax modules: pure functions of (parameters, arrays). They know no files, no TensorFlow, no mesh."""
