"""One HTML page about a prompt-tuning run: each section is a file, `run.py` is what they share."""
