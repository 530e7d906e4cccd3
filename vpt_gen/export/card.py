"""The card of an exported file, in the format of the Hugging Face Hub's model cards."""

import pathlib
import re
import textwrap

import huggingface_hub

import vpt_gen
from vpt_gen.checkpoints import arrival, hub
from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.checkpoints.store import NUM_IMAGES
from vpt_gen.checkpoints.tuned_file import shareable
from vpt_gen.export import PICTURE
from vpt_gen.machine.printable import one_line
from vpt_gen.report.about import lead
from vpt_gen.runs.opened import TunedRun

_MOST_CLASSES = 100
_UNKNOWN = "not recorded"
_SHIPPED = pathlib.Path(vpt_gen.__file__).parent / "assets"


def license_of(net: PretrainedNet) -> str:
    """Returns the license of a frozen net, as far as its directory says."""
    if net.path and _SHIPPED in net.path.parents:
        return "Apache-2.0"  # As the package.
    license_ = net.about.get("license", "")
    return license_ if isinstance(license_, str) and license_ else _UNKNOWN


def make_card(run: TunedRun, checkpoint: str, num_bytes: int, license_: str) -> str:
    """Makes the card of a run, or of merged ones.

    Args:
      run: as it is drawn from.
      checkpoint: what users give to `vpt_gen.sample`.
      num_bytes: size of the file.
      license_: of what was trained; '' if its author names none.
    """
    runs = run.merged or (run,)
    names = run.facts["class_names"]
    title = f"{len(names):,} classes" if len(names) != 1 else text(names[0])
    about = huggingface_hub.ModelCardData(
        library_name="vpt_gen",
        license=license_ or None,
        tags=["image-generation", "class-conditional", "jax", "flax", run.config.task],
    )
    merged = len(runs) > 1
    paragraphs = [
        f"---\n{about.to_yaml()}\n---",
        f"# {title}",
        "\n".join(f"{'- ' * merged}{text(lead(one))}" for one in runs),
        f"![Images of each class, unselected]({PICTURE})",
        "## Model details",
        f"`{hub.FILE}` ({num_bytes / 1e6:.3g} MB) holds what was trained, and its record. The "
        "frozen nets are not in it; a program that opens it compares their digests.",
        _nets(run),
        f"License of this file: {text(license_ or 'not stated by its author')}. The licenses of "
        "the frozen nets apply in addition.",
        "## How to get started",
        f"```\npython -m vpt_gen.sample --checkpoint={checkpoint} --num=8\n"
        f"python -m vpt_gen.evaluate --checkpoint={checkpoint} --reference=my_images\n```",
        "The images are those of the exported run; on the same devices they are the same bit for "
        "bit. If the nets are elsewhere, give `--tokenizer` and `--transformer`.",
        f"## Classes\n\n{_classes(names)}",
        "## Training details",
        *(_training(one) for one in runs),
        f"Decoding: {text(_settings(run))}.",
    ]
    if merged:
        paragraphs += [
            "## Merged runs",
            "Each class is drawn with the parameters of its own run, and the frozen nets stay as "
            "they were: classes of one run cannot bleed into another's, and every image is the "
            "same bit for bit as before merging.",
        ]
    return "\n\n".join(paragraphs) + "\n"


def text(value: str) -> str:
    """Returns text that Markdown shows as it is, in one line."""
    return re.sub(r"([\\`*_{}\[\]<>#|!~&])", r"\\\1", one_line(value))


def _nets(run: TunedRun) -> str:
    rows = ["| frozen net | directory | SHA-256 | license |", "|---|---|---|---|"]
    named = arrival.chosen(run.config.backbone)
    for name, net in run.nets.items():
        path = text(shareable(named[name]))
        rows.append(f"| {name} | {path} | `{net.digest}` | {text(license_of(net))} |")
    return "\n".join(rows)


def _classes(names: list[str]) -> str:
    shown = ", ".join(map(text, names[:_MOST_CLASSES]))
    rest = len(names) - _MOST_CLASSES
    return textwrap.fill(shown, 100, break_long_words=False) + (
        f" and {rest:,} more." if rest > 0 else "."
    )


def _training(run: TunedRun) -> str:
    images = run.facts.get(NUM_IMAGES)
    counted = f" on {images:,} images" if isinstance(images, int) else ""
    optimizer = run.config.optimizer
    return text(
        f"{run.step:,} updates of {run.config.batch_size} images{counted}, at a learning rate of "
        f"{optimizer.learning_rate:g} ({optimizer.schedule}). Digest of the data: "
        f"{str(run.facts.get('data', _UNKNOWN))[:12]}."
    )


def _settings(run: TunedRun) -> str:
    sizes = ("batch_size", "tokenizer_batch_size")
    options = run.config.decode.to_dict().items()
    return ", ".join(f"{name}={value}" for name, value in options if name not in sizes)
