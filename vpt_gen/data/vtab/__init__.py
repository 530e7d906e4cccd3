"""VTAB's 19 tasks."""
