"""Published weights and their addresses; obtains a file from the folder or the network."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from vpt_gen.checkpoints import hub
from vpt_gen.checkpoints.released.fetching import compare, fetch
from vpt_gen.errors import UserError
from vpt_gen.machine.progress import say


@dataclasses.dataclass(frozen=True)
class Published:
    """A published file.

    Attributes:
      kind: of `vpt_gen.checkpoints.released.READERS`.
      file: its name in the folder of weights.
      address: its URL.
      megabytes: its approximate size.
      purpose: its use, for tables.
      license: of the repository that publishes it; the files themselves have none.
      sha256: the SHA-256 that its publisher states; "" if none is known. Never computed from a
        download, which would match itself.
      fields: of its net, where they differ from the net's defaults: its size is known without it.
    """

    kind: str
    file: str
    address: str
    megabytes: int
    purpose: str
    license: str
    sha256: str = ""
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def origin(self) -> dict[str, str]:
        """What the record of a net converted from it says."""
        return {"address": self.address, "license": self.license}


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A published transformer with the tokenizer that it was trained on.

    Attributes:
      tokenizer: a key of `FILES`.
      transformer: a key of `FILES`.
      family: of the transformer, "nar" or "ar".
      image_size: side of its images, pixels.
      settings: fields that suit it in configs/folder.py, such as "decode.top_k"; the others keep
        their defaults. Fields that a method's config lacks are left out.
      fid: of its own samples of ImageNet, as its publishers state for these files; "" if they state
        none.
      source: address at which they state it.
    """

    tokenizer: str
    transformer: str
    family: str
    image_size: int
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fid: str = ""
    source: str = ""

    @property
    def files(self) -> tuple[str, str]:
        """The keys of `FILES` of both nets."""
        return self.tokenizer, self.transformer


# Size of Halton-MaskGIT's transformers -> fields of their nets.
_HALTON_SIZES: dict[str, dict[str, int]] = {
    "tiny": {"num_layers": 6, "hidden_size": 384, "num_heads": 6, "intermediate_size": 1024},
    "small": {"num_layers": 12, "hidden_size": 512, "num_heads": 6, "intermediate_size": 1536},
    "base": {"num_layers": 12, "hidden_size": 768, "num_heads": 12, "intermediate_size": 2048},
    "large": {"num_layers": 24, "hidden_size": 1024, "num_heads": 16, "intermediate_size": 2816},
}


@dataclasses.dataclass(frozen=True)
class _Halton:
    """A class-conditional transformer of Halton-MaskGIT, as its repository describes it.

    Attributes:
      size: its name there.
      image_size: side of its images, pixels.
      megabytes: of its parameters in float32; with an optimizer's state, three times as much.
      fid: of its samples, in 32 iterations.
      guidance: with which they were drawn.
    """

    size: str
    image_size: int
    megabytes: int
    fid: str
    guidance: float

    @property
    def name(self) -> str:
        return f"halton_{self.size}" + (f"_{self.image_size}" if self.image_size != 256 else "")

    @property
    def file(self) -> Published:
        file = f"ImageNet_{self.image_size}_{self.size}.pth"
        return Published(
            "halton_maskgit",
            file,
            f"https://huggingface.co/llvictorll/Halton-MaskGIT/resolve/main/{file}",
            self.megabytes,
            f"NAR at {self.image_size} px: ImageNet, 1000 classes",
            "MIT",
            fields={**_HALTON_SIZES[self.size], "num_tokens": (self.image_size // 16) ** 2},
        )

    @property
    def backbone(self) -> Backbone:
        settings = {
            # As it was trained.
            "mask_schedule": "arccos",
            "label_smoothing": 0.0,
            "decode.decoder": "halton_released",
            "decode.num_iterations": 32,
            "decode.guidance": self.guidance,
            # Classes modulate it, and tokens act through attention alone.
            "prompt.vector": True,
        }
        return Backbone(
            "llamagen_f16",
            f"{self.name}_transformer",
            "nar",
            self.image_size,
            settings,
            f"{self.fid} (guidance {self.guidance:g})",
            "github.com/valeoai/Halton-MaskGIT",
        )


_HALTONS = (
    _Halton("tiny", 256, 92, "10.2", 1.5),
    _Halton("small", 256, 277, "6.40", 1.0),
    _Halton("base", 256, 569, "4.17", 0.7),
    _Halton("small", 384, 278, "6.11", 1.0),
    _Halton("base", 384, 570, "4.15", 0.7),
    _Halton("large", 384, 1920, "2.59", 0.5),
)

_MASKGIT = "https://storage.googleapis.com/maskgit-public/checkpoints"
_HEIBOX = "https://heibox.uni-heidelberg.de/d"
_LAST = "files/?p=%2Fckpts%2Flast.ckpt&dl=1"
_CIN = (
    "https://app.koofr.net/content/links/90cbd5aa-ef70-4f5e-99bc-f12e5a89380e/files/get/last.ckpt"
    "?path=%2F2021-04-03T19-39-50_cin_transformer%2Fcheckpoints%2Flast.ckpt"
)
_HUGGING_FACE = "https://huggingface.co/xvjiarui"
_TITOK = "https://huggingface.co/fun-research/TiTok/resolve/main"
_LLAMAGEN = "https://huggingface.co/FoundationVision/LlamaGen/resolve/main"
_PORT = "resolve/main/diffusion_pytorch_model.bin"


@dataclasses.dataclass(frozen=True)
class _LlamaGen:
    """A class-conditional transformer of LlamaGen, as its repository describes it.

    Attributes:
      size: its name there.
      image_size: side of its images, pixels.
      megabytes: of its parameters in float32.
      shape: layers, width, heads, and width of the MLPs.
      fid: of 50,000 samples of all classes, at 256 px, with all tokens and a temperature of 1.
      cfg_scale: of that FID; 0 if it is not stated.
    """

    size: str
    image_size: int
    megabytes: int
    shape: tuple[int, int, int, int]
    fid: str
    cfg_scale: float = 0.0

    @property
    def name(self) -> str:
        return f"llamagen_{self.size.lower()}_{self.image_size}"

    @property
    def file(self) -> Published:
        file = f"c2i_{self.size}_{self.image_size}.pt"
        names = ("num_layers", "hidden_size", "num_heads", "intermediate_size")
        return Published(
            "llamagen_gpt",
            file,
            f"{_LLAMAGEN}/{file}",
            self.megabytes,
            f"AR at {self.image_size} px: ImageNet, 1000 classes",
            "MIT",
            fields={
                "num_tokens": (self.image_size // 16) ** 2,
                **dict(zip(names, self.shape, strict=True)),
            },
        )

    @property
    def backbone(self) -> Backbone:
        # That of the models of 256 px is not stated: 2 is that of the same sizes at 384 px.
        cfg_scale = self.cfg_scale or 2.0
        layers, *_ = self.shape
        return Backbone(
            "llamagen_f16",
            f"{self.name}_transformer",
            "ar",
            self.image_size,
            # More prompts than layers act no differently (docs/prompts.md).
            {"decode.guidance": cfg_scale - 1.0, "prompt.num_prompt_tokens": layers},
            self.fid + (f" (guidance {cfg_scale - 1.0:g})" if self.cfg_scale else ""),
            "github.com/FoundationVision/LlamaGen",
        )


_B, _L = (12, 768, 12, 2048), (24, 1024, 16, 2816)
_LLAMAGENS = (
    _LlamaGen("B", 256, 444, _B, "5.46"),
    _LlamaGen("B", 384, 444, _B, "6.09", 2.0),
    _LlamaGen("L", 256, 1372, _L, "3.80"),
    _LlamaGen("L", 384, 1372, _L, "3.07", 2.0),
    _LlamaGen("XL", 384, 3099, (36, 1280, 20, 3584), "2.62", 1.75),
    _LlamaGen("XXL", 384, 5644, (48, 1536, 24, 4096), "2.34", 1.75),
    _LlamaGen("3B", 384, 12387, (24, 3200, 32, 8704), "2.18", 1.65),
)


@dataclasses.dataclass(frozen=True)
class _RAR:
    """A class-conditional transformer of RAR, as its repository describes it.

    Attributes:
      size: its name there.
      fields: of its net, besides the defaults.
      megabytes: of its file.
      sha256: of its file, as Hugging Face states it.
      fid: of its samples.
      guidance: its largest scale as they were drawn, less 1 as we count.
      power: of the cosine by which it rises.
      temperature: as they were drawn.
    """

    size: str
    fields: Mapping[str, int]
    megabytes: int
    sha256: str
    fid: str
    guidance: float
    power: float
    temperature: float

    @property
    def name(self) -> str:
        return f"rar_{self.size}"

    @property
    def file(self) -> Published:
        file = f"{self.name}.bin"
        return Published(
            "rar",
            file,
            f"https://huggingface.co/yucornetto/RAR/resolve/main/{file}",
            self.megabytes,
            "AR at 256 px: ImageNet, 1000 classes",
            "Apache-2.0",
            sha256=self.sha256,
            fields=self.fields,
        )

    @property
    def backbone(self) -> Backbone:
        settings = {
            "decode.guidance": self.guidance,
            "decode.guidance_schedule": f"powcosine{self.power}",
            "decode.temperature": self.temperature,
            # As it was trained.
            "label_smoothing": 0.0,
        }
        return Backbone(
            "maskgit_vqgan_torch",
            f"{self.name}_transformer",
            "ar",
            256,
            settings,
            self.fid,
            "github.com/bytedance/1d-tokenizer",
        )


def _rar_fields(layers: int, width: int, hidden: int) -> dict[str, int]:
    return {"num_layers": layers, "hidden_size": width, "intermediate_size": hidden}


_RARS = (
    _RAR(
        "b",
        _rar_fields(24, 768, 3072),
        1044,
        "cbbf4b27dc36afae77fdb2fe0d6b9b5b7446eae45f1a9f91d442ab0b315b9ebf",
        "1.95",
        15.0,
        2.75,
        1.0,
    ),
    _RAR(
        "l",
        _rar_fields(24, 1024, 4096),
        1847,
        "edad8e9905e20a5df14eeee0d5d04c1be48b16a7751b4b3f4954a6dec8ad87d5",
        "1.70",
        14.5,
        2.5,
        1.02,
    ),
    _RAR(
        "xl",
        _rar_fields(32, 1280, 5120),
        3822,
        "7b4cec5c76f18dc7a3ea055a6b0cc4c5748c533768eed71564a88d897c762bc8",
        "1.50",
        5.9,
        1.5,
        1.02,
    ),
    _RAR(
        "xxl",
        _rar_fields(40, 1408, 6144),
        5994,
        "85aba44fef7aecfd879829077e541f09da4c29da3b1fd374837601d7322bf6ff",
        "1.48",
        7.0,
        1.2,
        1.02,
    ),
)


def _llamagen_tokenizer(
    factor: int, megabytes: int, purpose: str, **fields: tuple[int, ...]
) -> Published:
    file, address = f"vq_ds{factor}_c2i.pt", f"{_LLAMAGEN}/vq_ds{factor}_c2i.pt"
    return Published("llamagen_vqgan", file, address, megabytes, purpose, "MIT", fields=fields)


@dataclasses.dataclass(frozen=True)
class _TiTok:
    """A tokenizer of TiTok with its class-conditional generator, as its repository describes them.

    Attributes:
      size: its name there.
      tokenizer: fields of its net, besides the defaults.
      generator: the same of the generator.
      megabytes: of the files of both.
      sha256: of both, as Hugging Face states it.
      fid: of its samples.
      settings: of their decoding.
    """

    size: str
    tokenizer: Mapping[str, int]
    generator: Mapping[str, Any]
    megabytes: tuple[int, int]
    sha256: tuple[str, str]
    fid: str
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"titok_{self.size}"

    @property
    def files(self) -> dict[str, Published]:
        purposes = (
            f"NAR at 256 px: images to {self.tokenizer.get('num_tokens', 32)} tokens (4096 codes)",
            "NAR at 256 px: ImageNet, 1000 classes",
        )
        parts = {
            "tokenizer": ("titok", "tokenizer", self.tokenizer),
            "transformer": ("titok_maskgit", "generator", self.generator),
        }
        return {
            f"{self.name}_{part}": Published(
                kind,
                f"{word}_{self.name}.bin",
                f"{_TITOK}/{word}_{self.name}.bin",
                self.megabytes[i],
                purposes[i],
                "Apache-2.0",
                self.sha256[i],
                fields,
            )
            for i, (part, (kind, word, fields)) in enumerate(parts.items())
        }

    @property
    def backbone(self) -> Backbone:
        return Backbone(
            f"{self.name}_tokenizer",
            f"{self.name}_transformer",
            "nar",
            256,
            {
                "decode.decoder": "titok_released",
                # As it was trained.
                "mask_schedule": "arccos",
                **{f"decode.{name}": value for name, value in self.settings.items()},
            },
            self.fid,
            "github.com/bytedance/1d-tokenizer",
        )


def _transformer_sizes(encoder: int, decoder: int) -> dict[str, int]:
    """Fields of TiTok's tokenizers, from the widths of their transformers."""
    layers = {512: 8, 768: 12, 1024: 24}
    return {
        f"{part}_{name}": value
        for part, width in (("encoder", encoder), ("decoder", decoder))
        for name, value in (("width", width), ("layers", layers[width]), ("heads", width // 64))
    }


_TITOKS = (
    _TiTok(
        "l32",
        {},
        {},
        (2564, 709),
        (
            "b8f0bf61e9ee1791d8b76fa723bdcb2c85a039a7d027e597f685db492935c31f",
            "3c5938a01658e8886d994fd9885b19d73bf4311cc5a86945d117be46d4b32233",
        ),
        "2.77",
        {
            "num_iterations": 8,
            "guidance": 4.5,
            "guidance_schedule": "ramp",
            "choice_temperature": 9.5,
        },
    ),
    _TiTok(
        "b64",
        {"num_tokens": 64, **_transformer_sizes(768, 768)},
        {"num_tokens": 64},
        (819, 709),
        (
            "f268a71c815328cb40772a8ef71456072eefbe74e0236e7e7d1cdea174aa8c41",
            "19de258f170827f91de8ed5fc9f4d6ad4894d2b0e92043c0ec5987974988391c",
        ),
        "2.48",
        {
            "num_iterations": 8,
            "guidance": 3.0,
            "guidance_schedule": "ramp",
            "choice_temperature": 11.0,
        },
    ),
    _TiTok(
        "s128",
        {"num_tokens": 128, **_transformer_sizes(512, 512)},
        {
            "num_tokens": 128,
            "num_layers": 21,
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "long_skips": True,
        },
        (335, 1180),
        (
            "ba008a78cad4f08bfbb88524c775ff0356939a496f8321baef26896bfdac9037",
            "38d45cbabb4287e0eb07482bb31acfbccd5af8186424a37b648d21353cf0eaf7",
        ),
        "1.97",
        # Its publishers' scale is 6.9, 1 of which is no guidance.
        {
            "num_iterations": 64,
            "guidance": 5.9,
            "guidance_schedule": "powcosine3",
            "choice_temperature": 2.8,
        },
    ),
)


def _later_titok(size: str, tokens: int, widths: tuple[int, int], megabytes: int) -> Published:
    """A tokenizer of TiTok without a generator."""
    name = f"tokenizer_titok_{size}_vq8k"
    return Published(
        "titok",
        f"{name}.safetensors",
        f"https://huggingface.co/yucornetto/{name}_imagenet/resolve/main/model.safetensors",
        megabytes,
        f"images to {tokens} tokens (8192 codes), to train a model of your own on",
        "Apache-2.0",
        fields={
            "num_tokens": tokens,
            "embedding_dim": 64,
            "codebook_size": 8192,
            "unit_codes": False,
            "mixes_latents": False,
            "pixel_codes": 0,
            **_transformer_sizes(*widths),
        },
    )


FILES = {
    "maskgit256_tokenizer": Published(
        "maskgit_tokenizer",
        "tokenizer_imagenet256_checkpoint",
        f"{_MASKGIT}/tokenizer_imagenet256_checkpoint",
        217,
        "NAR at 256 px: images to tokens (1024 codes)",
        "Apache-2.0",
    ),
    "maskgit256_transformer": Published(
        "maskgit_transformer",
        "maskgit_imagenet256_checkpoint",
        f"{_MASKGIT}/maskgit_imagenet256_checkpoint",
        692,
        "NAR at 256 px: ImageNet, 1000 classes",
        "Apache-2.0",
    ),
    "maskgit512_tokenizer": Published(
        "maskgit_tokenizer",
        "tokenizer_imagenet512_checkpoint",
        f"{_MASKGIT}/tokenizer_imagenet512_checkpoint",
        217,
        "NAR at 512 px: images to tokens (1024 codes)",
        "Apache-2.0",
    ),
    "maskgit512_transformer": Published(
        "maskgit_transformer",
        "maskgit_imagenet512_checkpoint",
        f"{_MASKGIT}/maskgit_imagenet512_checkpoint",
        694,
        "NAR at 512 px: ImageNet, 1000 classes",
        "Apache-2.0",
        fields={"num_tokens": 1024},
    ),
    "taming_f16_1024": Published(
        "taming_vqgan",
        "vqgan_imagenet_f16_1024.ckpt",
        f"{_HEIBOX}/8088892a516d4e3baf92/{_LAST}",
        935,
        "images to tokens (1024 codes), to train an AR model of your own on",
        "MIT",
        fields={"codebook_size": 1024},
    ),
    "taming_f16_16384": Published(
        "taming_vqgan",
        "vqgan_imagenet_f16_16384.ckpt",
        f"{_HEIBOX}/a7530b09fed84f80a887/{_LAST}",
        980,
        "images to tokens (16384 codes), to train an AR model of your own on",
        "MIT",
    ),
    "taming_cin_tokenizer": Published(
        "taming_vqgan",
        "cin_transformer.ckpt",
        _CIN,
        5900,
        "AR at 256 px: images to tokens (16384 codes); inside the file of the transformer",
        "MIT",
    ),
    "taming_cin_transformer": Published(
        "taming_gpt",
        "cin_transformer.ckpt",
        _CIN,
        5900,
        "AR at 256 px: ImageNet, 1000 classes",
        "MIT",
    ),
    "diffusers_f16_1024": Published(
        "diffusers_vqgan",
        "taming_vq_f16_n1024.bin",
        f"{_HUGGING_FACE}/taming-vq-f16-n1024/{_PORT}",
        289,
        "the port of taming_f16_1024 to diffusers",
        "MIT",
        fields={"codebook_size": 1024},
    ),
    "diffusers_f16_16384": Published(
        "diffusers_vqgan",
        "taming_vq_f16_n16384.bin",
        f"{_HUGGING_FACE}/taming-vq-f16-n16384/{_PORT}",
        304,
        "the port of taming_f16_16384 to diffusers",
        "MIT",
    ),
    "maskgit_vqgan_torch": Published(
        "maskgit_vqgan_torch",
        "maskgit-vqgan-imagenet-f16-256.bin",
        "https://huggingface.co/fun-research/TiTok/resolve/main/maskgit-vqgan-imagenet-f16-256.bin",
        218,
        "AR at 256 px: images to tokens (1024 codes), the net of maskgit256_tokenizer in PyTorch",
        "Apache-2.0",
        sha256="424e7f2b11d1d63691ae3fbab74cf6c417ecbe0d8f86187b71f3538c7b56f6d2",
    ),
    "llamagen_f16": _llamagen_tokenizer(
        16, 288, "images to tokens (16384 codes of 8 numbers), 16 pixels each"
    ),
    "llamagen_f8": _llamagen_tokenizer(
        8,
        281,
        "the same, 8 pixels each, to train a model of your own on",
        channel_multipliers=(1, 2, 2, 4),
        attention_levels=(3,),
    ),
    **{f"{model.name}_transformer": model.file for model in _LLAMAGENS},
    **{f"{model.name}_transformer": model.file for model in _HALTONS},
    **{f"{model.name}_transformer": model.file for model in _RARS},
    **{name: file for model in _TITOKS for name, file in model.files.items()},
    "titok_bl64_tokenizer": _later_titok("bl64", 64, (768, 1024), 1560),
    "titok_bl128_tokenizer": _later_titok("bl128", 128, (768, 1024), 1561),
    "titok_sl256_tokenizer": _later_titok("sl256", 256, (512, 1024), 1321),
}

# Name of a published pair, as `config.backbone.name` and `configs/folder.py:<name>` take it.
BACKBONES = {
    "maskgit256": Backbone(
        "maskgit256_tokenizer",
        "maskgit256_transformer",
        "nar",
        256,
        fid="6.06",
        source="github.com/google-research/maskgit",
    ),
    "maskgit512": Backbone(
        "maskgit512_tokenizer",
        "maskgit512_transformer",
        "nar",
        512,
        fid="7.32",
        source="github.com/google-research/maskgit",
    ),
    "taming256": Backbone(
        "taming_cin_tokenizer",
        "taming_cin_transformer",
        "ar",
        256,
        # As its publishers draw samples of a class.
        {"decode.top_k": 600, "decode.top_p": 0.92},
        # With five settings of decoding.
        fid="5.20 to 15.98",
        source="github.com/CompVis/taming-transformers",
    ),
    **{model.name: model.backbone for model in _LLAMAGENS},
    **{model.name: model.backbone for model in _HALTONS},
    **{model.name: model.backbone for model in _RARS},
    **{model.name: model.backbone for model in _TITOKS},
}


def obtain(name: str, weights_dir: str) -> pathlib.Path:
    """Returns the path of a published file, fetching it if the folder lacks it.

    Files of Hugging Face are fetched into its own cache. A SHA-256 that the publisher states is
    compared. `<file>.sha256` next to a fetched file detects later changes; it does not verify the
    download itself.

    Raises:
      UnreachableError: no network, or --offline.
      UserError: unknown name, or a file that is not the published one, or that
        changed since it was fetched.
    """
    if name not in FILES:
        raise UserError(f"No published weights are called {name!r}; known: {', '.join(FILES)}.")
    published = FILES[name]
    path = pathlib.Path(weights_dir).expanduser() / published.file
    if path.exists():
        compare(path, published.sha256)
    elif on_hub := hub.parse_url(published.address):
        path = hub.fetch(on_hub)
        compared: tuple[str, ...] = ("sha256",) if hub.compare(path, published.sha256) else ()
        say(_assurance(published, compared))
    else:
        compared = fetch(published.address, path, published.sha256)
        say(_assurance(published, compared))
    return path


def _assurance(published: Published, compared: tuple[str, ...]) -> str:
    """Returns a sentence about what verified a fetched file."""
    if published.sha256:
        return f"{published.file} has the SHA-256 that its publisher states."
    if compared:
        sent = " and ".join({"md5": "MD5", "sha256": "SHA-256"}[name] for name in compared)
        return (
            f"{published.file} has the {sent} that its server sent; no SHA-256 stated by its "
            "publisher is known."
        )
    return (
        f"{published.file} could not be verified: no SHA-256 of its publisher is known, and its "
        "server sent no checksum. Only its size was checked."
    )


def table() -> str:
    """Returns the table of published files for docs/weights.md."""
    rows = [
        "| name | file | MB | what it is for | license | SHA-256 known |",
        "|---|---|---|---|---|---|",
    ]
    for name, published in FILES.items():
        link = f"[{published.file}]({published.address})"
        known = f"`{published.sha256}`" if published.sha256 else "none"
        rows.append(
            f"| `{name}` | {link} | {published.megabytes:,} | {published.purpose} "
            f"| {published.license} | {known} |"
        )
    return "\n".join(rows)
