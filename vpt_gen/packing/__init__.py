"""Archives from public registries -> training and test data of the shipped models."""
