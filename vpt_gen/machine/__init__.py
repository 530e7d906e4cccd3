"""The machine that a program runs on: files, processes, devices, memory, progress."""
