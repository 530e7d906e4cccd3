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
    """Returns trained parameters unchanged."""
    return params


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A run, ready for `training.loop.train`.

    Attributes:
      task: what to train.
      net: the net in training.
      train_source, eval_source: the examples; `eval_source` is None if none are held out.
      train_batches: start step -> batches.
      eval_batches: -> one pass over the evaluation examples, or None.
      facts: what a checkpoint records besides its config: class names, digests.
      exported: parameters in training -> those to generate images from, of a method; or those of
        the exported net, in pretraining.
      nets: the pretrained nets that a method adapts, by their names in `config.backbone`;
        otherwise none.
      sampler: for a method: draws images from the trained parameters; otherwise None.
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
    def num_images(self) -> int:
        """The number of examples, training and evaluation together."""
        return len(self.train_source) + len(self.eval_source or ())

    @property
    def drawer(self) -> Sampler:
        """The sampler, if the run is of a method."""
        assert self.sampler is not None
        return self.sampler
