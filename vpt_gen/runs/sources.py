"""The protocol of `runs/transformers.py` and `runs/gans.py`: runs that adapt a source."""

from typing import Any, Protocol

from jax.sharding import Mesh
from ml_collections import ConfigDict

from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.data.batches import Batches
from vpt_gen.data.source import Source
from vpt_gen.methods import METHODS
from vpt_gen.runs import gans, transformers
from vpt_gen.runs.samples import Sampler
from vpt_gen.training.state import Task

Nets = dict[str, PretrainedNet]


class Adapting(Protocol):
    """Builds a run of a method from its config."""

    def load_nets(self, config: ConfigDict, mesh: Mesh) -> Nets:
        """Loads the pretrained nets, by their names in `config.backbone`."""

    def make_facts(
        self, config: ConfigDict, train: Source, held_out: Source | None
    ) -> dict[str, Any]:
        """Returns facts about the data that sampling needs: `class_names`, and more."""

    def make_sampler(
        self, config: ConfigDict, nets: Nets, facts: dict[str, Any], mesh: Mesh
    ) -> Sampler:
        """Makes the sampler."""

    def make_task(
        self, config: ConfigDict, nets: Nets, facts: dict[str, Any], sampler: Any
    ) -> Task:
        """Makes the task."""

    def make_batches(
        self,
        config: ConfigDict,
        workdir: str,
        mesh: Mesh,
        train: Source,
        held_out: Source | None,
        nets: Nets,
    ) -> Batches:
        """Makes training and evaluation batches, see `data.batches.image_batches`."""

    def hold(self, config: ConfigDict, sampler: Any, params: Any) -> Any:
        """Converts stored parameters to the sampler's layout."""


ADAPTING: dict[str, Adapting] = {"transformer": transformers, "gan": gans}


def adapting(config: ConfigDict) -> Adapting:
    """Returns the protocol for the source of a run's method."""
    return ADAPTING[METHODS[config.task].source]
