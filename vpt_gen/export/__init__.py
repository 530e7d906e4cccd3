"""The program that writes runs as one file with a card; see `__main__.py`."""
