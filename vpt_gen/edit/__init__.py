"""The program that repaints images; see `__main__.py`."""

# The files next to the images.
NOTE, PICTURE = "edits.json", "edits.png"
