"""What a run adapts: the protocol of `runs/transformers.py` and `runs/gans.py`."""

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
    """How a run of a method is made of its config."""

    def load_nets(self, config: ConfigDict, mesh: Mesh) -> Nets:
        """The pretrained nets, by their names in `config.backbone`."""

    def make_facts(
        self, config: ConfigDict, train: Source, held_out: Source | None
    ) -> dict[str, Any]:
        """What sampling must know of the data: `class_names`, and more."""

    def make_sampler(
        self, config: ConfigDict, nets: Nets, facts: dict[str, Any], mesh: Mesh
    ) -> Sampler:
        """What draws images."""

    def make_task(
        self, config: ConfigDict, nets: Nets, facts: dict[str, Any], sampler: Any
    ) -> Task:
        """What trains."""

    def make_batches(
        self,
        config: ConfigDict,
        workdir: str,
        mesh: Mesh,
        train: Source,
        held_out: Source | None,
        nets: Nets,
    ) -> Batches:
        """Training and evaluation batches, see `data.batches.image_batches`."""

    def hold(self, config: ConfigDict, sampler: Any, params: Any) -> Any:
        """Stored parameters in the layout that the sampler takes."""


ADAPTING: dict[str, Adapting] = {"transformer": transformers, "gan": gans}


def adapting(config: ConfigDict) -> Adapting:
    """Of what the method of a run adapts."""
    return ADAPTING[METHODS[config.task].source]
