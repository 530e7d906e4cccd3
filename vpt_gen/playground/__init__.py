"""A local page to draw and repaint images with runs; see `__main__.py`."""
