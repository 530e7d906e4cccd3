"""Runs in memory and on disk: building, opening, sampling and measuring them."""
