"""One HTML page about a run: each section is a file."""
