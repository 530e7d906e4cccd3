"""One loop (`loop.py`) and one file per task; tasks import without TensorFlow and CLU."""
