"""The images that `vpt_gen.evaluate` draws from a run."""

from collections.abc import Mapping

import numpy as np
from absl import flags

from vpt_gen.data.names import name_key
from vpt_gen.errors import UserError
from vpt_gen.evaluate.flags import MAX_NUM
from vpt_gen.evaluation.image_sets import ImageSet
from vpt_gen.machine.progress import say
from vpt_gen.runs import request
from vpt_gen.runs.generation import (
    even_class_ids,
    instances_of,
    proportional_class_ids,
    undrawn,
)
from vpt_gen.runs.opened import TunedRun

FLAGS = flags.FLAGS


def draw_from_run(run: TunedRun, reference: ImageSet) -> ImageSet:
    """Returns the images to draw from a run, with classes from the command line."""
    num, class_names = FLAGS.num or min(len(reference), MAX_NUM), run.facts["class_names"]
    counts = np.bincount(reference.labels, minlength=len(reference.class_names))
    named = zip(map(name_key, reference.class_names), counts.tolist(), strict=True)
    wanted, known = {name: n for name, n in named if n}, list(map(name_key, class_names))
    how = FLAGS.class_counts or _class_counts(known, wanted)
    if how == "even":
        class_ids = even_class_ids(num, len(class_names))
    elif unknown := wanted.keys() - set(known):
        raise UserError(
            f"--class_counts=reference: {min(unknown)!r} of the {reference.name} is not a class of "
            "the run; use --class_counts=even."
        )
    else:
        class_ids = proportional_class_ids(num, [wanted.get(name, 0) for name in known])
    if told := undrawn(class_ids, class_names, "Raise --num to draw all classes."):
        say(told)
    instances: list[int] = []
    starts = FLAGS.marquee == "instance_to_class" and not FLAGS.headers
    if "instance_labels" in run.facts and (starts or not run.token_sampler.method.num_classes):
        instances = instances_of(class_ids, run.facts).tolist()
    generation = request.flagged_generation(run, class_ids.tolist(), instances)
    return generation.image_set(class_counts=how)


def _class_counts(class_names: list[str], wanted: Mapping[str, int]) -> str:
    if wanted.keys() <= set(class_names):
        return "reference"
    say("The reference has other classes than the run: drawing evenly over the run's classes.")
    return "even"
