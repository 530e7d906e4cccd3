"""Flax modules: pure functions of (parameters, arrays). No files, no TensorFlow, no mesh."""
