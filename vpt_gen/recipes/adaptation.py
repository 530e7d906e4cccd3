"""How a source is adapted: the released recipe, and options for the small shipped sources.

Source of the numbers: google-research/generative_transfer (NAR). AR uses the same prompts and
optimizer on a GPT; the paper's AR settings are not published as code, and its full text was not at
hand. Other methods differ from prompt tuning in their own fields and learning rates
(docs/methods.md).
"""

import dataclasses

from ml_collections import ConfigDict

from vpt_gen import methods
from vpt_gen.checkpoints.origins import BIGGAN
from vpt_gen.checkpoints.released.published import BACKBONES
from vpt_gen.checkpoints.shipped import DEMO, PHOTOS, SIDES
from vpt_gen.config.fields import (
    FAMILIES,
    GAN_METHODS,
    METHODS,
    default_config,
)
from vpt_gen.data.vtab.opening import find_task
from vpt_gen.errors import UserError
from vpt_gen.methods.prompts import Prompts

# Family -> the published backbone at 256 px that is the default.
_PUBLISHED = {"nar": "maskgit256", "ar": "taming256"}
# The shipped photos source's: its autoregressive transformer draws better (docs/fewshot.md).
_PHOTOS_FAMILY = "ar"
# Side of the published BigGAN's images, pixels.
_GAN_SIZE = 128


def check_method(method: str) -> str:
    """Checks a method given as the argument of a config file; UserError if it is unknown."""
    if method not in METHODS:
        raise UserError(f"Method {method!r} is not known; it must be one of {', '.join(METHODS)}.")
    return method


@dataclasses.dataclass(frozen=True)
class Variant:
    """The argument of a config file, such as 'ar', 'lora', 'ar,lora' or 'maskgit512,lora'.

    Attributes:
      family: of `FAMILIES`.
      method: of `METHODS`.
      backbone: of `BACKBONES`; '' for the config's own.
    """

    family: str
    method: str
    backbone: str

    @property
    def published(self) -> str:
        """The backbone, by default one of the family at 256 px."""
        return self.backbone or _PUBLISHED[self.family]


def read_variant(variant: str, family: str = "nar") -> Variant:
    """Parses the argument of a config file: a family or backbone, a method, both or none.

    Args:
      variant: the argument.
      family: of a variant that names neither family nor backbone.

    Raises:
      UserError: a word that is unknown or one too many, or a backbone of another family.
    """
    words = [word.strip() for word in variant.split(",") if word.strip()]
    backbone = next((word for word in words if word in BACKBONES), "")
    own = BACKBONES[backbone].family if backbone else family
    family = next((word for word in words if word in FAMILIES), own)
    method = next((word for word in words if word in METHODS), "prompts")
    if unknown := [word for word in words if word not in (family, method, backbone)]:
        raise UserError(
            f"{unknown[0]!r} is not known; it must be a family ({', '.join(FAMILIES)}), a "
            f"published backbone ({', '.join(BACKBONES)}) or a method ({', '.join(METHODS)}), or "
            "several: 'ar,lora'."
        )
    if backbone and family != own:
        raise UserError(f"{backbone} is of the family {own!r}, not {family!r}: leave that out.")
    return Variant(family, method, backbone)


def adaptation(backbone: str, method: str) -> ConfigDict:
    """Makes the config that adapts a published transformer or BigGAN to a folder of images.

    Args:
      backbone: one of `BACKBONES`; a method for BigGANs only measures with its tokenizer.
      method: one of `METHODS`.
    """
    chosen = BACKBONES[backbone]
    config = default_config(check_method(method), chosen.family)
    config.num_steps = 5000
    config.batch_size = 32
    config.eval_every = 1000
    config.checkpoint_every = 500
    config.data.kind = "folder"
    config.data.holdout = 0.0
    config.data.image_size = chosen.image_size
    config.backbone.name = backbone
    config.decode.batch_size = 8
    if method in GAN_METHODS:
        config.backbone.gan = f"weights/{BIGGAN}"
        config.data.image_size = _GAN_SIZE
        return config
    config.decode.tokenizer_batch_size = 1
    return config


def folder(variant: str) -> ConfigDict:
    """Makes the config for anyone's folder; set `config.data.path`.

    Args:
      variant: with a backbone, that one; without, the shipped photos source, by default its
        autoregressive transformer. See `Variant`.
    """
    chosen = read_variant(variant)
    if not chosen.backbone:
        config = few_images(variant)
        config.data.holdout = 0.0
        return config
    config = fewshot(variant)
    # 160 epochs of 100 images; the release trains on VTAB's 1,000 for 100.
    config.num_steps = 1000
    config.batch_size = 16
    config.eval_every = 200
    config.checkpoint_every = 200
    # Mirrored text and digits have another meaning.
    config.data.flip = False
    if chosen.method not in GAN_METHODS:
        suit(config, chosen.backbone)
    return config


def suit(config: ConfigDict, backbone: str) -> None:
    """Sets the fields that suit a published backbone, where the config has them."""
    for field, value in BACKBONES[backbone].settings.items():
        *groups, name = field.split(".")
        part = config.get(groups[0], {}) if groups else config
        if name in part:
            part[name] = value


def demo(family: str, method: str) -> ConfigDict:
    """Makes the config that adapts the shipped gray source (32x32) to handwritten digits."""
    config = default_config(check_method(method), family)
    config.num_steps = 900
    config.batch_size = 32
    config.eval_every = 300
    config.checkpoint_every = 100

    config.data.kind = "digits"
    config.data.holdout = 0.2
    # No flips: a mirrored digit has another meaning.
    _fit_small(config, DEMO)
    if method == "prompts":
        _guide(config, 1.0)
    config.evaluation.num_samples = 500
    return config


def _guide(config: ConfigDict, scale: float) -> None:
    """Decodes closer to the class, for a second pass without prompts (docs/decoders.md)."""
    if config.family == "nar":
        config.decode.decoder = "halton"
    config.decode.guidance = scale


def _fit_small(config: ConfigDict, assets: str) -> None:
    """Sets a shipped source, and options for its small size."""
    config.data.image_size = SIDES[assets]
    config.backbone.tokenizer = f"{assets}/tokenizer"
    if assets != DEMO:
        config.evaluation.features = "photos"
    if config.task in GAN_METHODS:
        config.backbone.gan = f"{assets}/gan"
        # As the source was trained.
        config.optimizer.discriminator_factor = 2.0
    else:
        transformer = "transformer" if config.family == "nar" else "transformer_ar"
        config.backbone.transformer = f"{assets}/{transformer}"
        # As the source was trained.
        config.label_smoothing = 0.0
        # Little noise in the choice: with small sources, fidelity to the class matters most.
        if config.family == "nar":
            config.decode.choice_temperature = 1.0
    config.optimizer.learning_rate = methods.METHODS[config.task].demo_learning_rate
    if issubclass(methods.METHODS[config.task], Prompts):
        prompt = config[methods.METHODS[config.task].group]
        # With few classes, a full table costs little and is far more expressive than a sum.
        prompt.design = "full"
        # In a causal model prompts do not attend to the tokens, so that more are needed.
        prompt.num_prompt_tokens = 16 if config.family == "nar" else 64
        prompt.dropout_rate = 0.0
    if config.task == "prompts_lora":
        config.prompts_lora.prompt_steps = config.num_steps // 2
    if config.task == "adapters":
        # An eighth of the width, about as 64 for the published nets (512 to 1024).
        config.adapters.size = 16 if assets == DEMO else 32


def vtab(name: str, variant: str) -> ConfigDict:
    """Makes the config for a task of VTAB at 256 px: 100 epochs of its train split, as released.

    The release trains one task, Caltech101, and leaves the others to its data loader. Adjust the
    config to the task: `config.data.flip` mirrors half of the images of *every* task, and
    docs/vtab.md lists the tasks of which that changes labels.

    Args:
      name: of the task.
      variant: family ('nar' MaskGIT, 'ar' the class-conditional ImageNet GPT) or backbone, and
        method, see `Variant`.
    """
    config = _published(variant)
    # An incomplete last batch does not count as a step of its epoch.
    steps_an_epoch = max(1, find_task(name).count("train") // config.batch_size)
    config.num_steps = 100 * steps_an_epoch
    config.eval_every = 10 * steps_an_epoch
    config.data.kind = "vtab"
    config.data.name = name
    config.data.eval_split = "val"
    config.data.flip = True
    config.data.random_crop = True
    # The release tokenizes a new view in every step; tokenizing a few views once costs far less.
    config.data.cache_views = 8
    return config


def fewshot(variant: str) -> ConfigDict:
    """Makes the config for few images at 256 px; the config file sets the data.

    The paper's numbers of images and updates are not published as code: these are ours.

    Args:
      variant: see `Variant`.
    """
    config = _published(variant)
    config.data.flip = True
    config.data.random_crop = True
    config.data.cache_views = 8
    return config


def few_images(variant: str) -> ConfigDict:
    """Makes the config that adapts the shipped photos source to few images; set `config.data.path`.

    The only shipped BigGAN is the demo's: gray, 32 pixels.

    Args:
      variant: family (by default 'ar') and method, see `Variant`.

    Raises:
      UserError: an argument that is not known, or a published backbone.
    """
    chosen = read_variant(variant, _PHOTOS_FAMILY)
    if chosen.backbone:
        raise UserError(
            f"This config adapts the shipped photos source, so it takes no {chosen.backbone}: use "
            f"configs/folder.py:{chosen.backbone}."
        )
    family, method = chosen.family, chosen.method
    config = default_config(method, family)
    config.num_steps = 300
    config.batch_size = 16
    config.eval_every = 100
    config.checkpoint_every = 100
    config.data.kind = "folder"
    config.data.fit = "pad"
    # Small shifts augment few images. Mirroring is off, as it changes text and digits.
    config.data.shift = 0.05
    config.data.rotation = 5.0
    config.data.cache_views = 16
    _fit_small(config, DEMO if method in GAN_METHODS else PHOTOS)
    if method == "prompts":
        _guide(config, 2.0 if family == "nar" else 1.0)
    if family == "ar" and method not in GAN_METHODS:
        # An unlikely early token spoils the rest of an image. At 0.8, half of the birds cut out on
        # white were empty (docs/prompts.md).
        config.decode.temperature = 0.9
    return config


def packaged_fewshot(name: str, variant: str) -> ConfigDict:
    """Makes the config for a set of `launch/fetch.sh targets`, five images per class.

    Args:
      name: of the set.
      variant: see `few_images`.
    """
    config = few_images(variant)
    config.data.path = f"downloads/targets/{name}"
    config.data.shots = 5
    return config


def _published(variant: str) -> ConfigDict:
    chosen = read_variant(variant)
    return adaptation(chosen.published, chosen.method)
