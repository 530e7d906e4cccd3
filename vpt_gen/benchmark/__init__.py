"""Measures how fast this machine tunes and decodes, and how close that is to its limit."""
