"""What configs have in common: the released recipe of prompt tuning, and the demo's source.

Source of the numbers: google-research/generative_transfer (NAR). For AR, the same prompts and
optimiser on a GPT; the paper's own AR settings are not published as code.
"""

from ml_collections import ConfigDict

from vpt_gen.config import default_config


def prompt_tuning(family: str, tokenizer: str, transformer: str, image_size: int) -> ConfigDict:
    """Prompt tuning to a folder of images.

    Args:
      family: 'nar' or 'ar'.
      tokenizer: name of the published tokenizer, as `vpt_gen.convert` has it.
      transformer: name of the published transformer.
      image_size: side of its images, pixels.
    """
    config = default_config("prompts", family)
    config.num_steps = 5000
    config.batch_size = 32
    config.eval_every = 1000
    config.checkpoint_every = 500
    config.data.kind = "folder"
    config.data.holdout = 0.0
    config.data.image_size = image_size
    config.backbone.tokenizer = f"weights/{tokenizer}"
    config.backbone.transformer = f"weights/{transformer}"
    config.decode.batch_size = 8
    return config


def use_grey_drawings(config: ConfigDict) -> None:
    """Sets `config.data` to the pictures of the demo's source model, at 32x32."""
    config.data.kind = "npz"
    config.data.path = "downloads/source_grey.npz"
    config.data.holdout = 0.03
    config.data.image_size = 32
    # Drawings stay drawings when mirrored, turned, zoomed and moved.
    config.data.flip = True
    config.data.rotation = 180.0
    config.data.min_scale = 0.6
    config.data.max_scale = 1.6
    config.data.shift = 0.1


def source_transformer(family: str) -> ConfigDict:
    """Pretraining of a small class-conditional transformer on the source tokenizer's tokens."""
    config = default_config("transformer", family)
    config.batch_size = 32
    config.eval_every = 2000
    config.checkpoint_every = 500
    # Smoothing would put a tenth of the mass on tokens that fit nothing; of few tokens drawn at
    # a temperature of 1 that spoils one or two an image.
    config.label_smoothing = 0.0

    use_grey_drawings(config)
    config.data.cache_views = 12

    config.backbone.tokenizer = "runs/source_tokenizer/net"
    config.model.num_layers = 6
    config.model.hidden_size = 128
    config.model.num_heads = 4
    config.model.intermediate_size = 512
    config.model.dropout_rate = 0.0

    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_steps = 400
    config.optimizer.weight_decay = 0.01
    config.optimizer.clip_norm = 1.0
    return config
