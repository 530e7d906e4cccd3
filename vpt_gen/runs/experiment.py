"""A run in memory, ready for the training loop."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.data import pipeline
from vpt_gen.data.source import Source
from vpt_gen.runs.samples import Sampler
from vpt_gen.training.state import Params, Task


def unchanged(params: Params) -> Params:
    """Trained parameters as they are."""
    return params


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A run, ready for `training.loop.train`.

    Attributes:
      task: what to train.
      net: the net that trains.
      train_source, eval_source: the examples; `eval_source` is None if none are held out.
      train_batches: start step -> batches.
      eval_batches: -> one pass over the evaluation examples, or None.
      facts: what a checkpoint must say besides its config: class names, digests.
      exported: of pretraining: trained parameters -> those of the net that the run leaves.
      nets: the pretrained nets that a method adapts, by their names in `config.backbone`;
        otherwise none.
      sampler: draws images from the parameters that a method trains; otherwise None.
    """

    task: Task
    net: Any
    train_source: Source
    eval_source: Source | None
    train_batches: Callable[[int], Iterator[pipeline.Batch]]
    eval_batches: Callable[[], Iterator[pipeline.Batch]] | None
    facts: dict[str, Any]
    exported: Callable[[Params], Params] = unchanged
    nets: dict[str, PretrainedNet] = dataclasses.field(default_factory=dict)
    sampler: Sampler | None = None

    @property
    def drawer(self) -> Sampler:
        """The sampler of a run of a method."""
        assert self.sampler is not None
        return self.sampler
