"""Checks a user's config before anything is opened or trained."""

import difflib
import operator
from typing import cast

from ml_collections import ConfigDict

from vpt_gen import methods
from vpt_gen.checkpoints.feature_spaces import FEATURE_SPACES
from vpt_gen.checkpoints.released.published import BACKBONES
from vpt_gen.config.fields import (
    GAN_METHODS,
    METHODS,
    TASKS,
    TRANSFORMER_METHODS,
    defaults_like,
)
from vpt_gen.config.model import net_of
from vpt_gen.config.ranges import check_ranges, config_ranges
from vpt_gen.decode import decoders
from vpt_gen.decode.schedules import schedule_requirement
from vpt_gen.errors import UserError
from vpt_gen.methods.record import TransformerMethod
from vpt_gen.nets.stack import REMAT
from vpt_gen.training.adversarial import LOSSES
from vpt_gen.training.compute import DTYPES, SCAN_LAYERS

# Fields of nets, and the fields that they divide.
_DIVIDES = (
    ("num_heads", "hidden_size"),
    ("encoder_heads", "encoder_width"),
    ("decoder_heads", "decoder_width"),
    ("patch_size", "image_size"),
)


def check_config(config: ConfigDict) -> None:
    """Raises UserError if a field is unknown, missing or impossible."""
    if "task" not in config:
        raise UserError(f"The config has no field task; set it to one of {', '.join(TASKS)}.")
    known = defaults_like(config)
    _check_fields(config.to_dict(), known.to_dict(), "config")
    check_ranges(config, config_ranges(config))
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
    named = bool(config.data.train_split or config.data.path)
    check(config, "data.train_split", named, "the name of a split; '' is for class folders")
    on, parts = config.data.evaluate_on, ("holdout", "validation")
    check(config, "data.evaluate_on", on in parts, " or ".join(map(repr, parts)))
    check(
        config,
        "data.validation",
        on == "holdout" or config.data.validation > 0,
        "positive if config.data.evaluate_on is 'validation'",
    )
    check(
        config,
        "data.min_scale",
        config.data.min_scale <= config.data.max_scale,
        f"at most data.max_scale, {config.data.max_scale:g}",
    )
    check(
        config,
        "optimizer.schedule",
        config.optimizer.schedule in ("cosine", "constant"),
        "'cosine' or 'constant'",
    )
    check(
        config,
        "optimizer.warmup_steps",
        config.optimizer.warmup_steps <= config.num_steps,
        f"at most num_steps, {config.num_steps}",
    )
    if "model" in config:
        _check_sizes(config)
    if config.task == "tokenizer":
        starts = config.losses.quantizer_start < config.num_steps
        wanted = f"below num_steps, {config.num_steps}"
        check(config, "losses.quantizer_start", starts, wanted)
        if config.losses.predict_codes_of:
            _check_code_targets(config)
        none = not (config.losses.keep_tokens and config.losses.quantizer_start)
        check(config, "losses.quantizer_start", none, "0 with config.losses.keep_tokens")
    if config.task == "gan" or config.task in GAN_METHODS:
        _check_adversarial(config)
    elif config.task not in ("tokenizer", "classifier"):
        _check_compute(config)
        _check_decoder(config)
        if "mask_schedule" in config:
            _, holds, wanted = schedule_requirement(config.mask_schedule)
            check(config, "mask_schedule", holds, wanted)
    if config.task in METHODS:
        _check_backbone(config)
        _check_method(config)
        _check_evaluation(config)


def check_stages(config: ConfigDict) -> None:
    """Raises UserError if the training of a checked config would end before its second stage.

    Not part of `check_config`: a run that older versions finished so can still be evaluated.
    """
    method = methods.METHODS.get(config.task)
    if method and method.first_stage:
        name = f"{method.group}.{method.first_stage}"
        ends = config[method.group][method.first_stage] < config.num_steps
        check(config, name, ends, f"below num_steps, {config.num_steps}")


def check_decoding(config: ConfigDict) -> None:
    """Raises UserError for an impossible option in `config.decode`; other fields are not checked.

    A run that older versions trained opens even if today's ranges are narrower.
    """
    check_ranges(config, config_ranges(config), "decode.")
    if "family" in config:
        _check_decoder(config)
    if config.get("distilled_guidance"):
        _check_guided_once(config)


def _check_sizes(config: ConfigDict) -> None:
    """Checks which sizes of a net divide others."""
    model = config.model
    for part, whole in _DIVIDES:
        if part in model and not (part == "num_heads" and _has_free_heads(config)):
            wanted = f"a divisor of config.model.{whole}, {model[whole]}"
            check(config, f"model.{part}", model[whole] % model[part] == 0, wanted)
    if model.get("pixel_codes"):
        enlarged = 2 ** (len(model.channel_multipliers) - 1)
        wanted = f"so many numbers that 2 ** (their number - 1) is patch_size, {model.patch_size}"
        check(config, "model.channel_multipliers", enlarged == model.patch_size, wanted)


def _has_free_heads(config: ConfigDict) -> bool:
    return getattr(net_of(config.task, config.model.get("net", "")), "free_heads", False)


def _check_code_targets(config: ConfigDict) -> None:
    """Checks the training of a TiTok that predicts codes, which has no loss of pixels."""
    where, losses = "with config.losses.predict_codes_of", config.losses
    check(config, "model.net", config.model.net == "titok", f"'titok' {where}")
    check(config, "losses.adversarial_weight", not losses.adversarial_weight, f"0 {where}")
    for name in ("perceptual_weights", "keep_tokens"):
        check(config, f"losses.{name}", not losses[name], f"'' {where}")


def _check_adversarial(config: ConfigDict) -> None:
    adversarial = config.adversarial
    wanted = f"one of {', '.join(LOSSES)}"
    check(config, "adversarial.loss", adversarial.loss in LOSSES, wanted)
    parts = adversarial.discriminator_steps * adversarial.accumulations
    check(config, "batch_size", config.batch_size % parts == 0, f"a multiple of {parts} parts")


def _check_compute(config: ConfigDict) -> None:
    for name, known in (("dtype", DTYPES), ("remat", REMAT), ("scan_layers", SCAN_LAYERS)):
        wanted = f"one of {', '.join(known)}"
        check(config, f"compute.{name}", config.compute[name] in known, wanted)


def _check_decoder(config: ConfigDict) -> None:
    decode = config.decode
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


def _check_backbone(config: ConfigDict) -> None:
    name = config.backbone.name
    check(config, "backbone.name", name in ("", *BACKBONES), f"'' or one of {', '.join(BACKBONES)}")
    if name and "transformer" in config.backbone and not config.backbone.transformer:
        family = BACKBONES[name].family
        check(config, "family", config.family == family, f"{family!r}, that of {name}")


def _check_method(config: ConfigDict) -> None:
    method = methods.METHODS[config.task].from_config(config)
    for field, holds, wanted in method.requirements():
        check(config, f"{method.group}.{field}", holds, wanted)
    if config.get("distilled_guidance"):
        wanted = f"0 with config.task={config.task!r}, which keeps no source to guide away from"
        keeps = not cast(type[TransformerMethod], type(method)).whole
        check(config, "distilled_guidance", keeps, wanted)
        _check_guided_once(config)
    if "prior" in config and config.prior.weight:
        records = cast(dict[str, type[TransformerMethod]], methods.METHODS)
        able = [name for name in TRANSFORMER_METHODS if records[name].changes_source]
        wanted = (
            f"0 with config.task={config.task!r}, as only {', '.join(able)} change what the source "
            "has learned"
        )
        check(config, "prior.weight", config.task in able, wanted)


def _check_guided_once(config: ConfigDict) -> None:
    guided = config.decode.get("guidance", 0.0) > 0
    wanted = "0 with config.distilled_guidance, as these conditions are guided already"
    check(config, "decode.guidance", not guided, wanted)


def _check_evaluation(config: ConfigDict) -> None:
    evaluation = config.evaluation
    known = evaluation.features in FEATURE_SPACES
    check(config, "evaluation.features", known, " or ".join(FEATURE_SPACES))
    check(
        config,
        "evaluation.every",
        evaluation.every == 0 or evaluation.num_samples > 0,
        "0 if config.evaluation.num_samples is 0",
    )


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
