"""Checks a user's config before anything is opened or trained."""

import difflib
import operator

from ml_collections import ConfigDict

from vpt_gen import methods
from vpt_gen.config.fields import (
    GAN_METHODS,
    METHODS,
    TASKS,
    defaults_like,
)
from vpt_gen.decode import decoders
from vpt_gen.decode.schedules import schedule_requirement
from vpt_gen.errors import UserError
from vpt_gen.nets.stack import REMAT
from vpt_gen.training.adversarial import LOSSES
from vpt_gen.training.compute import DTYPES, SCAN_LAYERS


def check_config(config: ConfigDict) -> None:
    """Raises UserError if a field is unknown, missing or impossible."""
    if "task" not in config:
        raise UserError(f"The config has no field task; set it to one of {', '.join(TASKS)}.")
    known = defaults_like(config)
    _check_fields(config.to_dict(), known.to_dict(), "config")
    for name in ("num_steps", "batch_size", "log_every", "keep_checkpoints"):
        check(config, name, config[name] > 0, "a positive number")
    for name in ("eval_every", "checkpoint_every"):
        check(config, name, config[name] >= 0, "0 or a positive number")
    check(
        config,
        "data.fit",
        config.data.fit in ("crop", "pad", "stretch"),
        "'crop', 'pad' or 'stretch'",
    )
    check(
        config,
        "data.random_crop",
        not config.data.random_crop or config.data.fit == "crop",
        "False if config.data.fit is not 'crop'",
    )
    measured = config.task in METHODS and config.evaluation.every > 0
    check(
        config,
        "best_metric",
        not config.best_metric or config.eval_every > 0 or measured,
        "'' if nothing is evaluated: config.eval_every is 0",
    )
    check(config, "seed", config.seed >= 0, "0 or a positive number")
    named = bool(config.data.train_split or config.data.path)
    check(config, "data.train_split", named, "the name of a split; '' is for class folders")
    check(config, "data.shots", config.data.shots >= 0, "0 or a positive number")
    check(config, "data.shots_seed", config.data.shots_seed >= 0, "0 or a positive number")
    for name in ("holdout", "validation"):
        check(config, f"data.{name}", 0 <= config.data[name] < 1, "at least 0 and below 1")
    check(config, "data.holdout_seed", config.data.holdout_seed >= 0, "0 or a positive number")
    on, parts = config.data.evaluate_on, ("holdout", "validation")
    check(config, "data.evaluate_on", on in parts, " or ".join(map(repr, parts)))
    check(
        config,
        "data.validation",
        on == "holdout" or config.data.validation > 0,
        "positive if config.data.evaluate_on is 'validation'",
    )
    check(config, "data.image_size", config.data.image_size > 0, "a positive number of pixels")
    check(config, "data.cache_views", config.data.cache_views > 0, "a positive number")
    check(
        config,
        "data.min_scale",
        0 < config.data.min_scale <= config.data.max_scale,
        "positive and at most data.max_scale",
    )
    check(config, "data.color_jitter", 0 <= config.data.color_jitter <= 1, "from 0 to 1")
    check(
        config,
        "optimizer.schedule",
        config.optimizer.schedule in ("cosine", "constant"),
        "'cosine' or 'constant'",
    )
    if config.task == "tokenizer":
        filters = config.losses.discriminator_filters
        check(config, "losses.discriminator_filters", filters >= 8, "8 or more")
        starts = 0 <= config.losses.quantizer_start < config.num_steps
        check(config, "losses.quantizer_start", starts, "0 or positive, and below num_steps")
        check(config, "optimizer.codebook_factor", config.optimizer.codebook_factor > 0, "positive")
    if "average_decay" in config:
        check(config, "average_decay", 0 <= config.average_decay < 1, "at least 0 and below 1")
    if config.task == "gan" or config.task in GAN_METHODS:
        _check_adversarial(config)
    elif config.task not in ("tokenizer", "classifier"):
        _check_compute(config)
        _check_decoding(config)
    if config.task in METHODS:
        _check_method(config)
        _check_evaluation(config)


def _check_adversarial(config: ConfigDict) -> None:
    adversarial = config.adversarial
    wanted = f"one of {', '.join(LOSSES)}"
    check(config, "adversarial.loss", adversarial.loss in LOSSES, wanted)
    for name in ("discriminator_steps", "accumulations"):
        check(config, f"adversarial.{name}", adversarial[name] > 0, "positive")
    for name in ("generator_orthogonal", "discriminator_orthogonal"):
        check(config, f"adversarial.{name}", adversarial[name] >= 0, "0 or positive")
    parts = adversarial.discriminator_steps * adversarial.accumulations
    check(config, "batch_size", config.batch_size % parts == 0, f"a multiple of {parts} parts")
    check(
        config,
        "optimizer.discriminator_factor",
        config.optimizer.discriminator_factor > 0,
        "positive",
    )
    if config.task == "gan":
        check(config, "average.decay", 0 <= config.average.decay < 1, "at least 0 and below 1")
        return
    check(config, "decode.batch_size", config.decode.batch_size > 0, "positive")
    check(config, "decode.z_scale", config.decode.z_scale > 0, "positive")
    standing = config.decode.standing_accumulations
    check(config, "decode.standing_accumulations", standing >= 0, "0 or positive")


def _check_compute(config: ConfigDict) -> None:
    for name, known in (("dtype", DTYPES), ("remat", REMAT), ("scan_layers", SCAN_LAYERS)):
        wanted = f"one of {', '.join(known)}"
        check(config, f"compute.{name}", config.compute[name] in known, wanted)


def _check_decoding(config: ConfigDict) -> None:
    decode = config.decode
    for name in ("batch_size", "tokenizer_batch_size"):
        check(config, f"decode.{name}", decode[name] > 0, "positive")
    known = decoders.of_family(config.family)
    name = decode.get("decoder", known[0])
    if name not in known:
        check(config, "decode.decoder", False, f"one of {', '.join(known)}")
    sizes = ("batch_size", "tokenizer_batch_size")
    options = {field: value for field, value in decode.items() if field not in sizes}
    if options.get("guidance") and "guidance" not in decoders.own_options(name):
        check(config, "decode.guidance", False, f"0 with the decoder {name!r}")
    for field, holds, wanted in decoders.make_decoder(config.family, options).requirements():
        check(config, f"decode.{field}", holds, wanted)
    if "mask_schedule" in config:
        _, holds, wanted = schedule_requirement(config.mask_schedule)
        check(config, "mask_schedule", holds, wanted)


def _check_method(config: ConfigDict) -> None:
    method = methods.METHODS[config.task].from_config(config)
    for field, holds, wanted in method.requirements():
        check(config, f"{method.group}.{field}", holds, wanted)


def _check_evaluation(config: ConfigDict) -> None:
    evaluation = config.evaluation
    known = ("tokenizer", "inception")
    check(config, "evaluation.features", evaluation.features in known, " or ".join(known))
    check(config, "evaluation.num_samples", evaluation.num_samples >= 0, "0 or a positive number")
    check(
        config,
        "evaluation.every",
        evaluation.every == 0 or (evaluation.every > 0 and evaluation.num_samples > 0),
        "0 if config.evaluation.num_samples is 0",
    )
    check(config, "evaluation.judge_shots", evaluation.judge_shots >= 0, "0 or positive")
    check(config, "evaluation.num_components", evaluation.num_components > 0, "positive")


def check(config: ConfigDict, name: str, holds: bool, wanted: str) -> None:
    """Raises UserError for the value of a field, such as "data.shots", unless it `holds`."""
    if not holds:
        value = operator.attrgetter(name)(config)
        raise UserError(f"config.{name} is {value!r}; it must be {wanted}.")


def _check_fields(given: dict, known: dict, prefix: str) -> None:
    for name, value in given.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}."
            raise UserError(f"Unknown config field {prefix}.{name}; {hint}")
        if isinstance(known[name], dict):
            if not isinstance(value, dict):
                raise UserError(f"{prefix}.{name} must be a group of fields, not {value!r}.")
            _check_fields(value, known[name], f"{prefix}.{name}")
    for name in known:
        if name not in given:
            raise UserError(
                f"Config field {prefix}.{name} is missing; start from "
                "vpt_gen.config.default_config."
            )
