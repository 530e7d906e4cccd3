"""The commands that repeat what the page has drawn, to the last bit."""

from collections.abc import Mapping, Sequence
from typing import Any

from vpt_gen import cli
from vpt_gen.data.names import name_key, numbers_of
from vpt_gen.playground.settings import Settings

# Files that a command about a repainted image names.
IMAGE, MASK = "image.png", "mask.png"
# Where commands write.
OUTPUT = "played"


def sample_command(
    source: Mapping[str, Any],
    settings: Settings,
    class_names: Sequence[str],
    has_classes: bool,
    changed: Mapping[str, Any],
) -> str:
    """Returns the `vpt_gen.sample` that draws the same images.

    Args:
      source: flags that name what they were drawn from.
      settings: of the images.
      class_names: of the run.
      has_classes: whether the subjects are classes, and not training images.
      changed: options of decoding that the run's config sets otherwise.
    """
    chosen = {"instances": ",".join(map(str, settings.subjects))}
    if has_classes:
        chosen = {"classes": _listed(settings.subjects, class_names)}
    shown = {**chosen, **_common(settings, class_names)}
    return cli.spelled("vpt_gen.sample", {**source, **shown, "output": OUTPUT}, _set(changed))


def edit_command(
    source: Mapping[str, Any],
    settings: Settings,
    class_names: Sequence[str],
    keep: float,
    has_mask: bool,
    changed: Mapping[str, Any],
) -> str:
    """Returns the `vpt_gen.edit` that repaints the same image, see `sample_command`."""
    files = {"image": IMAGE, **({"mask": MASK} if has_mask else {})}
    kept = {"keep": keep} if keep else {}
    chosen = {"classes": _listed(settings.subjects, class_names)}
    given = {**source, **files, **kept, **chosen, **_common(settings, class_names)}
    return cli.spelled("vpt_gen.edit", {**given, "output": OUTPUT}, _set(changed))


def _common(settings: Settings, class_names: Sequence[str]) -> dict[str, Any]:
    common: dict[str, Any] = {"num": settings.num, "seed": settings.seed}
    if settings.start is not None:
        headers = _listed([settings.start], class_names)
        common |= {"marquee": "instance_to_class", "headers": headers, "cutoff": settings.stages}
    return common


def _set(changed: Mapping[str, Any]) -> list[str]:
    return [f"--set={name}={value}" for name, value in changed.items()]


def _listed(classes: Sequence[int], class_names: Sequence[str]) -> str:
    """Spells classes as the value of a flag: by name, quoted if it has a comma."""
    numbers = numbers_of(list(class_names))
    words = []
    for number in classes:
        name = class_names[number]
        words.append(name if numbers.get(name_key(name)) == number else str(number))
    return cli.listed(words)
