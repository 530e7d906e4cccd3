"""A study: a grid of methods, data sets, shots and seeds; each cell is a run."""
