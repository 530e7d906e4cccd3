"""The program that measures generated images against real ones; see `__main__.py`."""
