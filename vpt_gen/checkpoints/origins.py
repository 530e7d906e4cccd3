"""Commands that make missing pretrained nets, for each known directory."""

import pathlib
import shlex
from collections.abc import Collection

import vpt_gen
from vpt_gen.checkpoints.released import READERS
from vpt_gen.checkpoints.released.published import FILES

# Pretraining config of configs/ -> the net that it writes into its workdir as net/.
PRETRAINED = {
    "photos_transformer": "maskgit",
    "photos_transformer_ar": "gpt",
    "photos_decoder": "vqvae",
    "photos_features": "classifier",
    "photos_tokenizer": "vqvae",
    "source_gan": "biggan",
    "source_tokenizer": "vqgan",
    "source_transformer": "maskgit",
    "source_transformer_ar": "gpt",
}
# Folder of the nets that are compared at equal compute.
SMALL = "small"
# The BigGAN of docs/gan.md, which is converted from the user's file.
BIGGAN = "G_ema"


def command_for(path: str, kinds: Collection[str]) -> str:
    """Returns the command that makes `path`, a net of one of `kinds`; "" if none is known."""
    directory = pathlib.Path(path)
    return (
        _conversion(directory, kinds)
        or _conversion_of_biggan(directory, kinds)
        or _pretraining(directory, kinds)
        or _pretraining_of_small(directory, kinds)
    )


def _conversion(directory: pathlib.Path, kinds: Collection[str]) -> str:
    name = directory.name
    if name not in FILES or READERS[FILES[name].kind][0] not in kinds:
        return ""
    folder = str(directory.parent)
    where = [] if folder == "weights" else [f"--weights_dir={folder}"]
    return shlex.join(["python", "-m", "vpt_gen.convert", f"--name={name}", *where])


def _conversion_of_biggan(directory: pathlib.Path, kinds: Collection[str]) -> str:
    if directory.name != BIGGAN or "biggan" not in kinds:
        return ""
    options = [f"--file={BIGGAN}.pth", f"--output={directory}"]
    return shlex.join(["python", "-m", "vpt_gen.convert", "--kind=biggan", *options])


def _pretraining(directory: pathlib.Path, kinds: Collection[str]) -> str:
    workdir = directory.parent
    config = _config_file(workdir.name)
    if directory.name != "net" or PRETRAINED.get(workdir.name) not in kinds or not config:
        return ""
    where = [] if str(workdir.parent) == "runs" else [f"--workdir={workdir}"]
    return shlex.join(["python", "-m", "vpt_gen.main", f"--config={config}", *where])


def _pretraining_of_small(directory: pathlib.Path, kinds: Collection[str]) -> str:
    """Of the nets of launch/study_backbones.sh, each in a folder with the name of its kind."""
    workdir = directory.parent
    kind, is_tokenizer = workdir.name, workdir.name == "titok"
    config = _config_file("small_tokenizer" if is_tokenizer else "small_source")
    if directory.name != "net" or workdir.parent.name != SMALL or kind not in kinds or not config:
        return ""
    choice = config if is_tokenizer else f"{config}:{kind}"
    return shlex.join(
        ["python", "-m", "vpt_gen.main", f"--config={choice}", f"--workdir={workdir}"]
    )


def _config_file(name: str) -> str:
    """Returns the path of a config relative to here; "" if there is none."""
    file = pathlib.Path("configs") / f"{name}.py"
    beside_package = pathlib.Path(vpt_gen.__file__).parents[1] / file
    return next((str(path) for path in (file, beside_package) if path.is_file()), "")
