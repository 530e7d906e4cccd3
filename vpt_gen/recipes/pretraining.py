"""How the shipped sources are pretrained: their pictures and their transformers."""

from ml_collections import ConfigDict

from vpt_gen.checkpoints.shipped import PHOTOS
from vpt_gen.config.fields import default_config


def use_grey_drawings(config: ConfigDict) -> None:
    """Sets `config.data` to the pictures of the demo's source model, at 32x32."""
    config.data.kind = "npz"
    config.data.path = "downloads/source_grey.npz"
    config.data.holdout = 0.03
    config.data.image_size = 32
    # Drawings keep their meaning if mirrored, rotated, zoomed and shifted.
    config.data.flip = True
    config.data.rotation = 180.0
    config.data.min_scale = 0.6
    config.data.max_scale = 1.6
    config.data.shift = 0.1


def source_transformer(family: str) -> ConfigDict:
    """Makes the config of a small class-conditional transformer on the source's tokens."""
    config = small_transformer(family, num_layers=6, hidden_size=128, num_heads=4)
    use_grey_drawings(config)
    config.data.cache_views = 12
    config.backbone.tokenizer = "runs/source_tokenizer/net"
    return config


def photos_tokenizer() -> ConfigDict:
    """Makes what both stages of the photos source's tokenizer have in common."""
    config = default_config("tokenizer", net="vqvae")
    config.batch_size = 32
    config.eval_every = 1000
    config.checkpoint_every = 200

    use_photos(config)
    # So that the tokenizer also serves other colors.
    config.data.color_jitter = 0.1

    config.model.widths = (64, 160)
    config.model.num_res_blocks = 2
    config.model.embedding_dim = 16
    config.model.codebook_size = 1024

    # One over the variance of pixels, as in VQ-VAE: beside the quantizer's terms a plain squared
    # error says too little.
    config.losses.reconstruction_weight = 16.0
    config.losses.adversarial_weight = 0.0

    config.optimizer.learning_rate = 5e-4
    config.optimizer.warmup_steps = 50
    config.optimizer.b2 = 0.999
    config.optimizer.clip_norm = 1.0
    return config


def photos_transformer(family: str) -> ConfigDict:
    """Pretraining of a class-conditional transformer on the photos tokenizer's tokens."""
    config = small_transformer(family, num_layers=8, hidden_size=256, num_heads=4)
    config.num_steps = 200000
    use_photos(config)
    config.data.shift = 0.06
    config.data.cache_views = 8
    # Made once for both families, in 19 minutes.
    config.data.cache_dir = "runs/photos_tokens"
    # Both families are guided by what they draw without a class.
    config.model.class_dropout = 0.1
    # A constant rate lets the run be continued for as long as it improves; samples and the exported
    # net come from the average.
    config.optimizer.schedule = "constant"
    config.optimizer.learning_rate = 5e-4
    config.ema = 0.9995
    config.backbone.tokenizer = f"{PHOTOS}/tokenizer"
    return config


def small_transformer(family: str, net: str = "", **sizes: int) -> ConfigDict:
    """Makes what the configs of small transformers have in common, without data and tokenizer.

    Args:
      family: of the transformer.
      net: key of `nets.NETS`; '' for the family's default.
      sizes: fields of the net, among them `hidden_size`; its MLPs are four times as wide.
    """
    config = default_config("transformer", family, net)
    config.batch_size = 32
    config.eval_every = 2000
    config.checkpoint_every = 500
    # Smoothing would put a tenth of the mass on unfitting tokens, which spoils one or two of the
    # few tokens of an image drawn at a temperature of 1.
    config.label_smoothing = 0.0

    config.model.update(sizes)
    config.model.intermediate_size = 4 * config.model.hidden_size
    config.model.dropout_rate = 0.0

    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_steps = 400
    config.optimizer.weight_decay = 0.01
    config.optimizer.clip_norm = 1.0
    return config


def use_photos(config: ConfigDict) -> None:
    """Sets `config.data` to the pictures of the photos source, at 32x32."""
    config.data.kind = "npz"
    config.data.path = "downloads/source_photos.npz"
    config.data.eval_split = "test"
    config.data.image_size = 32
    config.data.flip = True
