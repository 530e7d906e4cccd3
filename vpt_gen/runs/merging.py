"""Several runs on the same frozen nets, drawn from as one: which fit, and their sampler.

Each class keeps the parameters of its own run, and its number there. Its images are therefore the
same bits as without the others: nothing trained is shared, and the frozen nets do not change.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
from jax.sharding import Mesh

from vpt_gen.checkpoints.arrival import chosen
from vpt_gen.checkpoints.tuned_file import StoredRun
from vpt_gen.config.repeat import flatten
from vpt_gen.data.names import name_key
from vpt_gen.errors import UserError
from vpt_gen.runs.samples import Sampler, Samples, wanted_or_all

# Fields, and groups of fields, that have to be equal to draw from runs as one.
_SHARED = ("task", "family", "decode", "compute", "data.image_size")


def check_mergeable(runs: Sequence[StoredRun]) -> None:
    """Raises UserError if runs cannot be drawn from as one."""
    first = runs[0]
    for run in runs[1:]:
        _check_nets(first, run)
        _check_settings(first, run)
    for run in runs if len(runs) > 1 else ():
        if "instance_labels" in run.facts:
            raise UserError(
                f"{run.source} has prompts of training images, whose numbers belong to one run: "
                "only runs with config.prompt.condition 'class' can be merged."
            )
    owner: dict[str, str] = {}
    for run in runs:
        for name in run.facts["class_names"]:
            if name_key(name) in owner:
                raise UserError(
                    f"{owner[name_key(name)]} and {run.source} both have a class {name!r}: export "
                    "them with --prefix, such as --prefix=a,b, which tells the classes apart."
                )
            owner[name_key(name)] = run.source


def _check_nets(first: StoredRun, run: StoredRun) -> None:
    nets = [chosen(run.config["backbone"]) for run in (first, run)]
    for net in dict.fromkeys([*nets[0], *nets[1]]):
        digests = [str(of.facts.get(net, "unknown"))[:12] for of in (first, run)]
        if digests[0] != digests[1]:
            raise UserError(
                f"{first.source} and {run.source} were tuned on different backbones (the {net} "
                f"has digest {digests[0]} and {digests[1]}): only runs on one backbone can be "
                "merged."
            )


def _check_settings(first: StoredRun, run: StoredRun) -> None:
    ours, theirs = flatten(first.config), flatten(run.config)
    for field in sorted(ours | theirs):
        shared = any(f"{field}.".startswith(f"{name}.") for name in _SHARED)
        if shared and ours.get(field) != theirs.get(field):
            group, _, option = field.partition(".")
            cure = f"; export both with --set={option}=..." if group == "decode" else ""
            raise UserError(
                f"{first.source} and {run.source} cannot be merged: config.{field} is "
                f"{ours.get(field)!r} in one and {theirs.get(field)!r} in the other{cure}."
            )


@dataclasses.dataclass(frozen=True)
class MergedSampler:
    """Draws each image by the sampler of its class's run.

    Attributes:
      samplers: of the runs.
      num_classes: of each run; its classes follow those of the runs before it.
    """

    samplers: Sequence[Sampler]
    num_classes: Sequence[int]

    @property
    def options(self) -> dict[str, Any]:
        """Options of decoding, which all runs share."""
        return self.samplers[0].options

    @property
    def batch_size(self) -> int:
        """Images at a time."""
        return self.samplers[0].batch_size

    @property
    def images_at_a_time(self) -> int:
        """Images per batch of each run."""
        return self.samplers[0].images_at_a_time

    @property
    def has_tokens(self) -> bool:
        """Whether images are drawn token by token."""
        return self.samplers[0].has_tokens

    @property
    def token_grid(self) -> tuple[int, int]:
        """See `Sampler`."""
        return self.samplers[0].token_grid

    @property
    def has_prompts(self) -> bool:
        """Whether prompts are the condition."""
        return self.samplers[0].has_prompts

    @property
    def mesh(self) -> Mesh:
        """Devices."""
        return self.samplers[0].mesh

    def with_options(self, **options: Any) -> Self:
        """Returns the sampler with other options of decoding."""
        samplers = [sampler.with_options(**options) for sampler in self.samplers]
        return dataclasses.replace(self, samplers=samplers)

    def counts(self, params: Any) -> tuple[int, int]:
        """Returns the numbers of trained parameters, of all runs, and of frozen ones."""
        counts = [of.counts(own) for of, own in zip(self.samplers, params, strict=True)]
        return sum(trained for trained, _ in counts), counts[0][1]

    def stream(
        self,
        params: Any,
        bank: np.ndarray,
        seed: int,
        weights: np.ndarray | None = None,
        wanted: np.ndarray | None = None,
        known: np.ndarray | None = None,
        numbers: np.ndarray | None = None,
    ) -> Iterator[Samples]:
        """Generates n images in the order of the bank; see `TokenSampler.stream`.

        Args:
          params: a sequence, of each run.
          bank: (n, M, 2), with the classes of all runs.
          seed: of all keys.
          weights: marquee matrix (T, M), or None.
          wanted: (n,) bool, the images to generate; None for all.
          known: (n, N), tokens that stay; see `TokenSampler.stream`.
          numbers: (n,), which of the images of its condition each is, or None.

        Raises:
          UserError: a marquee between classes of different runs.
        """
        starts = np.cumsum([0, *self.num_classes[:-1]])
        owners = np.searchsorted(starts, bank[..., 0], side="right") - 1  # (n, M)
        if (owners != owners[:, -1:]).any():
            raise UserError(
                "A marquee stays within the classes of one of the merged runs, whose prompts were "
                "tuned together: leave out classes or --headers of the others."
            )
        owner, wanted = owners[:, -1], wanted_or_all(wanted, bank)
        streams = {}
        for run in np.unique(owner[wanted]):
            own = bank[owner == run]
            own[..., 0] -= starts[run]
            given = (None if x is None else x[owner == run] for x in (wanted, known, numbers))
            batches = self.samplers[run].stream(params[run], own, seed, weights, *given)
            streams[run] = itertools.chain.from_iterable(map(_apart, batches))
        numbers_of_wanted = np.flatnonzero(wanted)
        size = self.images_at_a_time  # As other samplers: `SharedSamples` counts their batches.
        for start in range(0, len(numbers_of_wanted), size):
            rows = numbers_of_wanted[start : start + size]
            drawn = zip(*(next(streams[owner[row]]) for row in rows), strict=True)
            images, tokens, revealed_at = map(np.stack, drawn)
            yield Samples(images, tokens, revealed_at, bank[rows, -1, 0])


def _apart(batch: Samples) -> Iterator[tuple[np.ndarray, ...]]:
    """Yields each image of a batch, with its tokens and their order."""
    return zip(batch.images, batch.tokens, batch.revealed_at, strict=True)
