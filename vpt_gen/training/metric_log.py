"""The metrics of updates, written at intervals so that the program seldom waits for the device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import jax
import numpy as np

from vpt_gen.errors import DivergedError

if TYPE_CHECKING:
    from clu import metric_writers


class MetricLog:
    """Collects the metrics of updates on the device and writes their means at intervals."""

    def __init__(self, writer: metric_writers.MetricWriter):
        self._writer = writer
        self._pending: list[tuple[int, Mapping[str, jax.Array]]] = []

    def add(self, step: int, metrics: Mapping[str, jax.Array]) -> None:
        self._pending.append((step, metrics))

    def flush(self) -> str:
        """Writes the means since the last flush; returns the loss for the progress bar."""
        if not self._pending:
            return ""
        steps = [step for step, _ in self._pending]
        values = jax.device_get([metrics for _, metrics in self._pending])
        self._pending = []
        for step, metrics in zip(steps, values, strict=True):
            bad = [name for name, value in metrics.items() if not math.isfinite(value)]
            if bad:
                raise DivergedError(
                    f"The {bad[0]} is {metrics[bad[0]]} at update {step}; the run stops, and its "
                    "last checkpoint is kept. Lower optimizer.learning_rate or set "
                    "optimizer.clip_norm."
                )
        means = {name: float(np.mean([v[name] for v in values])) for name in values[0]}
        self._writer.write_scalars(
            steps[-1], {f"train/{name}": value for name, value in means.items()}
        )
        return f"loss {means['loss']:.4f}"
