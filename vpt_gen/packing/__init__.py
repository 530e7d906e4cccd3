"""Archives from public registries -> what the shipped models are trained and tried on."""
