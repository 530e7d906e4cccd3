"""One loop (`loop.py`) and one file a task; tasks import without TensorFlow and CLU."""
