"""The program that writes runs as one file with a card; see `__main__.py`."""

# The files next to the exported one.
CARD, PICTURE = "README.md", "samples.png"
