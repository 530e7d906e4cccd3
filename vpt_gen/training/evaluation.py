"""Between updates: metrics over the evaluation data, and the task's pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jax.sharding import Mesh

from vpt_gen.images import grids
from vpt_gen.machine import distributed, sharding
from vpt_gen.training.state import (
    Batch,
    Params,
    Task,
)

if TYPE_CHECKING:
    from clu import metric_writers


class Evaluation:
    """One pass over the evaluation data, and the task's pictures."""

    def __init__(
        self,
        task: Task,
        frozen: Params,
        batches: Callable[[], Iterator[Mapping[str, np.ndarray]]] | None,
        mesh: Mesh,
        key: jax.Array,
        workdir: str,
    ):
        """Compiles nothing yet.

        Args:
          task: defines the metrics and pictures.
          frozen: the task's frozen parameters, on the mesh.
          batches: -> one pass, see `loop.train`; None if there is no evaluation data.
          mesh: devices.
          key: the same for all evaluations.
          workdir: pictures go to its folder `pictures`.
        """
        whole = sharding.replicated(mesh)
        self._sums = jax.jit(_sums(task), out_shardings=whole)
        self._pictures = jax.jit(task.pictures, out_shardings=whole)
        self._frozen, self._batches, self._mesh, self._key = frozen, batches, mesh, key
        self._folder = epath.Path(workdir) / "pictures"

    def __call__(
        self, step: int, params: Params, batch: Batch, writer: metric_writers.MetricWriter
    ) -> dict[str, float]:
        """Writes the metrics and pictures of `params`.

        Args:
          step: updates done.
          params: to evaluate.
          batch: of training, for pictures if there is no evaluation data.
          writer: of metrics.

        Returns:
          The mean of every metric over the examples; nothing if there are none.
        """
        metrics: dict[str, float] = {}
        if self._batches is not None:
            metrics, batch = self._average(params, self._batches())
            writer.write_scalars(step, {f"eval/{name}": value for name, value in metrics.items()})
        with sharding.use(self._mesh):
            pictures = self._pictures(params, self._frozen, batch, self._key)
        for name, images in pictures.items() if distributed.is_first() else ():
            grid = grids.image_grid(grids.magnify(np.asarray(images)))
            grids.save_png(self._folder / f"{name}_{step:07d}.png", grid)
            writer.write_images(step, {name: grid[None]})
        return metrics

    def _average(
        self, params: Params, batches: Iterator[Mapping[str, np.ndarray]]
    ) -> tuple[dict[str, float], Batch]:
        """Returns the metrics of one pass, and its first batch."""
        parts: list[Any] = []
        first: Batch = {}
        for number, rows in enumerate(batches):
            batch = sharding.to_global(rows, self._mesh)
            valid = batch.pop("valid")
            first = first or batch
            key = jax.random.fold_in(self._key, number)
            with sharding.use(self._mesh):
                parts.append(self._sums(params, self._frozen, batch, valid, key))
        sums, counts = zip(*jax.device_get(parts), strict=True)
        total = sum(map(float, counts))
        return {name: sum(float(s[name]) for s in sums) / total for name in sums[0]}, first


def _sums(task: Task):
    """Returns the sums of `task`'s metrics over a batch's valid examples, and their number."""

    def sums(params, frozen, batch, valid, key):
        metrics = task.eval_step(params, frozen, batch, key)
        return {
            name: jnp.where(valid, values, 0.0).sum() for name, values in metrics.items()
        }, valid.sum()

    return sums
