"""Orbax stores of training states, and the frozen backbone with its digest."""
