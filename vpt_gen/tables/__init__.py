"""Calculated costs of nets and methods."""
