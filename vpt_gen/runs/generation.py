"""Images drawn from a run: their conditions, and a record to reproduce them."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vpt_gen.checkpoints.backbone import digest_of_params
from vpt_gen.data.names import first_few
from vpt_gen.evaluation.image_sets import ImageSet, counted
from vpt_gen.images.codec import to_uint8
from vpt_gen.machine.progress import say_once
from vpt_gen.runs.opened import TunedRun
from vpt_gen.runs.samples import Samples, class_bank, gather


@dataclasses.dataclass(frozen=True)
class Generation:
    """n images to draw.

    Attributes:
      run: to draw from.
      bank: (n, M, 2), the conditions of each image, see `sampler.class_bank`.
      weights: marquee matrix (T, M); None stays on the last condition.
      marquee: the matrix's name and options, for the record.
      seed: of all keys.
    """

    run: TunedRun
    bank: np.ndarray
    weights: np.ndarray | None
    marquee: dict[str, Any]
    seed: int

    @property
    def class_ids(self) -> np.ndarray:
        """(n,) class of each image."""
        return self.bank[:, -1, 0]

    def samples(self) -> Samples:
        """Draws all images at once."""
        return gather(self.batches(), len(self.bank))

    def batches(self, wanted: np.ndarray | None = None) -> Iterator[Samples]:
        """Yields batches of the images `wanted` (n,) or of all; each is drawn on demand."""
        return self.run.sampler.stream(self.run.params, self.bank, self.seed, self.weights, wanted)

    def stream(self, wanted: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """Yields the images `wanted` (n,) or all, uint8 (B, H, W, 3), batch by batch."""
        return (to_uint8(samples.images) for samples in self.batches(wanted))

    def image_set(self, **record: Any) -> ImageSet:
        """Returns the images as a set to measure; `record` adds how they were chosen."""
        class_names = tuple(self.run.facts["class_names"])
        record = {"count": len(self.bank), **record, **self.record()}
        return ImageSet("generated images", self.class_ids, class_names, self.stream, record)

    def record(self) -> dict[str, Any]:
        """Returns checkpoint, nets and sampler settings, for JSON."""
        sampler, config = self.run.sampler, self.run.config
        merged = [_identity(run) for run in self.run.merged]
        return {
            "checkpoint": {**_identity(self.run), **({"merged": merged} if merged else {})},
            **{f"{name}_digest": net.digest for name, net in self.run.nets.items()},
            "method": config.task,
            "sampler": {
                **({"family": config.family} if "family" in config else {}),
                **sampler.options,
                "batch_size": sampler.batch_size,
                "marquee": self.marquee,
                "seed": self.seed,
            },
        }

    def digest(self) -> str:
        """Returns a digest of everything that determines the images and the names of classes."""
        weights = None if self.weights is None else self.weights.tolist()
        content = [self.record(), self.bank.tolist(), weights, list(self.run.facts["class_names"])]
        return digest_of_request(*content)


def digest_of_request(*request: Any) -> str:
    """Returns the digest of a request, for JSON; equal for two that make the same images."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def _identity(run: TunedRun) -> dict[str, Any]:
    digest = digest_of_params({}, run.params)
    return {"workdir": run.workdir, "step": run.step, "digest": digest}


def plain_generation(run: TunedRun, class_ids: np.ndarray, seed: int) -> Generation:
    """Makes images of classes (n,) without a marquee; of instances if prompts have only these."""
    bank = class_bank(class_ids)
    if run.has_prompts and not run.token_sampler.method.num_classes:
        bank[:, 0, 1] = instances_of(class_ids, run.facts)
    return without_marquee(run, bank, seed)


def without_marquee(run: TunedRun, bank: np.ndarray, seed: int) -> Generation:
    """Makes an image of each condition of a bank (n, 1, 2)."""
    return Generation(run, bank, None, {"name": "constant", "headers": []}, seed)


def even_class_ids(num: int, num_classes: int) -> np.ndarray:
    """Returns classes (n,) of n images, equally many of each; the first ones may have one more."""
    return np.sort(np.arange(num) % num_classes)


def proportional_class_ids(num: int, counts: np.ndarray | Sequence[int]) -> np.ndarray:
    """Returns classes (n,) of n images in proportion to `counts` (C,), by largest remainders."""
    shares = num * np.asarray(counts, np.float64) / np.sum(counts)
    numbers = np.floor(shares + 1e-9).astype(int)
    # With equal remainders the lower class gets the image.
    largest = np.argsort(-np.round(shares - numbers, 9), kind="stable")[: num - numbers.sum()]
    numbers[largest] += 1
    return np.repeat(np.arange(len(numbers)), numbers)


def undrawn(class_ids: np.ndarray, class_names: Sequence[str], cure: str) -> str:
    """Names the classes of which none of the images (n,) is; '' if there are none.

    Args:
      class_ids: of the images.
      class_names: of all classes.
      cure: what to do if there are fewer images than classes.
    """
    lacking = np.setdiff1d(np.arange(len(class_names)), class_ids).tolist()
    if not lacking:
        return ""
    named = first_few([class_names[label] for label in lacking])
    said = f"None of {counted(len(class_ids), 'images')} to draw is of {named}."
    return f"{said} {cure}" if len(class_ids) < len(class_names) else said


def instances_of(class_ids: np.ndarray, facts: Mapping[str, Any]) -> np.ndarray:
    """Returns training images (n,) to start from, those of an image's class in turn.

    Classes without any, as a small part of a data set may have, take turns with those of all.
    """
    labels = np.asarray(facts["instance_labels"])
    chosen = np.empty(len(class_ids), np.int64)
    without = []
    for label in np.unique(class_ids):
        rows = class_ids == label
        own = np.flatnonzero(labels == label)
        if not len(own):
            own = np.arange(len(labels))
            without.append(facts["class_names"][label])
        chosen[rows] = np.resize(own, rows.sum())
    if without:
        # Measurements and pages draw again and again.
        say_once(
            f"No training image is of {first_few(without)}: their images start from those of other "
            "classes."
        )
    return chosen
