"""A run in memory and on disk: how it is built, opened, sampled and measured."""
