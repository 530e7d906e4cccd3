"""One HTML page about a run of a method: each section is a file, `run.py` is what they share."""
