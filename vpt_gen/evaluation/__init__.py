"""Metrics of generated images: class agreement, distances, diversity, and their record."""
