"""Conditions from the command line: class names, training images, marquees."""

import pathlib

import numpy as np

from vpt_gen.data.names import name_key, nearest, numbers_of, some
from vpt_gen.decode import marquee
from vpt_gen.errors import UserError
from vpt_gen.machine.array_files import open_npy
from vpt_gen.nets.prompt_generator import NO_INSTANCE
from vpt_gen.runs.samples import class_bank


def class_numbers(wanted: list[str], class_names: list[str]) -> list[int]:
    """Class names, or their numbers -> numbers; all classes if none are given."""
    numbers, number_of = [], numbers_of(class_names)
    for name in wanted:
        if name_key(name) in number_of:
            numbers.append(number_of[name_key(name)])
        elif name.isdecimal() and int(name) < len(class_names):
            numbers.append(int(name))
        else:
            raise UserError(
                f"Class {name!r} is unknown to the checkpoint; it has: {some(class_names)}"
                f"{nearest(name, class_names)}"
            )
    return numbers or list(range(len(class_names)))


def instance_numbers(wanted: list[str], known: int) -> list[int]:
    """Returns numbers of training images; UserError for an invalid one."""
    for name in wanted:
        if not name.isdecimal() or int(name) >= known:
            raise UserError(
                f"--instances={name}: the prompts have training images 0 to {known - 1}."
                if known
                else "The prompts of this run have no training images: leave --instances out."
            )
    return [int(name) for name in wanted]


def choose(
    classes: list[str], instances: list[str], class_names: list[str], num_instances: int
) -> tuple[list[int], list[int]]:
    """Returns the numbers of the requested classes and training images.

    Raises:
      UserError: an unknown class or training image, or both kinds at once.
    """
    if classes and instances:
        raise UserError(
            "--classes and --instances exclude each other, as every training image has its "
            "class: leave one of them out."
        )
    return class_numbers(classes, class_names), instance_numbers(instances, num_instances)


def marquee_weights(name: str, num_stages: int, num_headers: int, cutoff: float) -> np.ndarray:
    """Returns the matrix W (T, M) of --marquee; M = `num_headers`, with the image's own prompt."""
    needs = {"constant": num_headers == 1, "instance_to_class": num_headers == 2}
    if not needs.get(name, True):
        wanted = {
            "constant": "no --headers",
            "instance_to_class": "exactly one of --headers, or --instances",
        }
        raise UserError(f"--marquee={name} takes {wanted[name]}.")
    try:
        if name == "constant":
            return marquee.constant(1)
        if name == "scroll":
            return marquee.scroll(num_stages, num_headers)
        if name == "instance_to_class":
            return marquee.instance_to_class(num_stages, cutoff)
        if not name.endswith(".npy"):
            raise UserError(
                f"--marquee={name} is not known; use constant, scroll, instance_to_class or a "
                ".npy file."
            )
        matrix = open_npy(pathlib.Path(name).expanduser())
        marquee.check_shape(matrix.shape, num_stages, num_headers)
        return marquee.check_weights(matrix.read(), num_stages, num_headers)
    except (OSError, ValueError) as error:
        raise UserError(f"--marquee={name}: {error}") from error


def make_bank(
    classes: list[int], headers: list[int], instances: list[int], labels: list[int], marquee: str
) -> np.ndarray:
    """Makes the marquee bank (n, M, 2), one row per requested condition.

    Args:
      classes: numbers of classes; instances have their own classes.
      headers: classes of the header prompts.
      instances: numbers of training images, or nothing.
      labels: the class of every training image of the prompts.
      marquee: `instance_to_class` goes from each instance to its class.
    """
    if not instances:
        return class_bank(classes, headers)
    own = [(labels[i], i) for i in instances]
    if marquee == "instance_to_class":
        return np.array([[pair, (pair[0], NO_INSTANCE)] for pair in own], np.int32)
    before = [(c, NO_INSTANCE) for c in headers]
    return np.array([[*before, pair] for pair in own], np.int32)
