"""A study: methods, data sets, shots and seeds side by side, each cell a run of its own."""
