"""Choice of the feature space: of a published net, the photos classifier, or a tokenizer."""

from __future__ import annotations

import pathlib

from vpt_gen.checkpoints.shipped import DEMO, PHOTOS, SIDES
from vpt_gen.machine import later
from vpt_gen.machine.progress import say

with later.imports(globals()):
    from vpt_gen.checkpoints import clip, dinov2, inception, vision
    from vpt_gen.checkpoints.backbone import TOKENIZERS, PretrainedNet, load_net
    from vpt_gen.evaluation.clip_space import clip_space
    from vpt_gen.evaluation.dinov2_space import dinov2_space
    from vpt_gen.evaluation.features import FeatureSpace, inception_space, tokenizer_space
    from vpt_gen.evaluation.photos_space import photos_space

# The default tokenizer if no run or config names one: gray drawings, sides of 32 pixels.
SHIPPED, SHIPPED_SIDE = f"{DEMO}/tokenizer", SIDES[DEMO]


def choose_space(
    weights_dir: str, tokenizer: str = "", cure: str = "--features=inception fetches the file."
) -> str:
    """Returns "inception" if its weights exist; otherwise a space that ships, with a message.

    That is "tokenizer" for the gray drawings that the demo's tokenizer knows, and else "photos".

    Args:
      weights_dir: folder of published weights.
      tokenizer: directory of the tokenizer of the measured images; '' if there is none.
      cure: a sentence about how the program that calls this gets the weights.
    """
    if (pathlib.Path(weights_dir).expanduser() / inception.FILE).exists():
        return "inception"
    name, whose = "photos", "the photos classifier's"
    if pathlib.PurePath(tokenizer).match(SHIPPED):
        name, whose = "tokenizer", "a tokenizer's"
    say(
        f"{inception.FILE} is not in {weights_dir}: figures are computed in {whose} features, "
        f"without FID. {cure}"
    )
    return name


def open_space(
    name: str, weights_dir: str, tokenizer: PretrainedNet | None = None, side: int = SHIPPED_SIDE
) -> FeatureSpace:
    """Opens a feature space.

    Args:
      name: of `FEATURE_SPACES`.
      weights_dir: folder of published weights; they are fetched if it lacks them.
      tokenizer: of a run, for the tokenizer's space; None for the shipped one.
      side: of the tokenizer's training images, in pixels.

    Raises:
      UserError: weights that are damaged or cannot be fetched.
    """
    if name == "inception":
        return inception_space(inception.obtain_inception(weights_dir))
    if name == "dinov2":
        return dinov2_space(vision.obtain(dinov2.ADDRESS, weights_dir))
    if name == "clip":
        return clip_space(vision.obtain(clip.ADDRESS, f"{weights_dir}/{clip.FOLDER}"))
    if name == "photos":
        return photos_space(load_net(f"{PHOTOS}/features", "classifier"))
    if tokenizer is None:
        return tokenizer_space(load_net(SHIPPED, *TOKENIZERS), SHIPPED_SIDE)
    return tokenizer_space(tokenizer, side)
