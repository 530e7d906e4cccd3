"""The range of every number in a run's config, checked before a run starts.

Fields of nets, methods and decoders have their ranges as annotations in their own files; `FIELDS`
lists the others.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from ml_collections import ConfigDict

from vpt_gen.config.model import net_of
from vpt_gen.config.repeat import flatten
from vpt_gen.decode import decoders
from vpt_gen.decode.iterative import Guidance
from vpt_gen.methods import METHODS
from vpt_gen.ranges import (
    Count,
    CountOrZero,
    Epsilon,
    NotNegative,
    Positive,
    Range,
    Seed,
    Share,
    ShareBelowOne,
    Side,
    Size,
    Updates,
    UpdatesOrZero,
    check_number,
    range_of,
    ranges_of,
)

FIELDS: dict[str, Any] = {
    "seed": Seed,
    "num_steps": Updates,
    "batch_size": Count,
    "accumulate": Count,
    "log_every": Updates,
    "eval_every": UpdatesOrZero,
    "checkpoint_every": UpdatesOrZero,
    "keep_checkpoints": Count,
    "label_smoothing": ShareBelowOne,
    "ema": ShareBelowOne,
    "distilled_guidance": Guidance,
    "prior.weight": NotNegative,
    "prior.num_samples": Count,
    "prior.seed": Seed,
    "average.decay": ShareBelowOne,
    "average.start": UpdatesOrZero,
    # Devices along an axis, or -1 for those that remain.
    **dict.fromkeys(
        ("mesh.data", "mesh.fsdp", "mesh.tensor"),
        Annotated[int, Range(1, 10**6, whole=True, also=-1)],
    ),
    "data.shots": CountOrZero,
    "data.shots_seed": Seed,
    "data.holdout": ShareBelowOne,
    "data.validation": ShareBelowOne,
    "data.holdout_seed": Seed,
    "data.image_size": Side,
    # Degrees to either side.
    "data.rotation": Annotated[float, Range(0, 180)],
    "data.min_scale": Annotated[float, Range(0.01, 100)],
    "data.max_scale": Annotated[float, Range(0.01, 100)],
    "data.shift": Share,
    "data.color_jitter": Share,
    "data.damage": Share,
    "data.cache_views": Count,
    # Adam moves a parameter by about the rate; trained ones are seldom larger than 100.
    "optimizer.learning_rate": Annotated[float, Range(0, 100, above=True)],
    "optimizer.warmup_steps": UpdatesOrZero,
    "optimizer.b1": ShareBelowOne,
    "optimizer.b2": ShareBelowOne,
    "optimizer.epsilon": Epsilon,
    "optimizer.weight_decay": Annotated[float, Range(0, 100)],
    "optimizer.clip_norm": NotNegative,
    "optimizer.codebook_factor": Positive,
    "optimizer.discriminator_factor": Positive,
    "losses.quantizer_start": UpdatesOrZero,
    "losses.reconstruction_weight": NotNegative,
    "losses.adversarial_weight": NotNegative,
    "losses.adversarial_start": UpdatesOrZero,
    "losses.r1_cost": NotNegative,
    "losses.discriminator_filters": Annotated[int, Range(8, 2**16, whole=True)],
    "losses.perceptual_weight": NotNegative,
    "adversarial.discriminator_steps": Count,
    "adversarial.accumulations": Count,
    "adversarial.generator_orthogonal": NotNegative,
    "adversarial.discriminator_orthogonal": NotNegative,
    "model.class_dropout": ShareBelowOne,
    "decode.batch_size": Count,
    "decode.tokenizer_batch_size": Count,
    "decode.z_scale": Annotated[float, Range(0, 100, above=True)],
    "decode.standing_accumulations": CountOrZero,
    "evaluation.num_samples": CountOrZero,
    "evaluation.every": UpdatesOrZero,
    "evaluation.judge_shots": CountOrZero,
    "evaluation.num_components": Size,
}


def config_ranges(config: Mapping[str, Any]) -> dict[str, Range]:
    """Returns the ranges of a config's fields by name, such as "data.shots".

    Args:
      config: with `task`, and with `family` and `model.net` if its task has them; further entries
        are of fields that it does not have.
    """
    task, found = config["task"], table_ranges(FIELDS)
    if "family" in config:
        for name in decoders.of_family(config["family"]):
            found |= _in_group("decode", decoders.DECODERS[name])
    if task in METHODS:
        found |= _in_group(METHODS[task].group, METHODS[task])
    if "model" in config:
        found |= _in_group("model", net_of(task, config["model"].get("net", "")))
    return found


def table_ranges(table: Mapping[str, Any]) -> dict[str, Range]:
    """Returns the ranges of a table of types by field."""
    return {name: range_of(kind) for name, kind in table.items()}


def check_ranges(config: ConfigDict, ranges: Mapping[str, Range], group: str = "") -> None:
    """Raises UserError for a number that is not in its range.

    Args:
      config: of a run, or of a study.
      ranges: of its fields; a field without one is not checked, nor is None.
      group: name of the only group to check; '' for all fields.
    """
    for name, value in flatten(config.to_dict()).items():
        if name in ranges and value is not None and name.startswith(group):
            check_number(f"config.{name}", value, ranges[name])


def _in_group(group: str, options: type[Any]) -> dict[str, Range]:
    return {f"{group}.{name}": of for name, of in ranges_of(options).items()}
