"""Choice of the feature space: Inception's, DINOv2's, CLIP's, or a tokenizer's."""

from __future__ import annotations

import pathlib

from vpt_gen.checkpoints.shipped import DEMO, SIDES
from vpt_gen.machine import later
from vpt_gen.machine.progress import say

with later.imports(globals()):
    from vpt_gen.checkpoints import clip, dinov2, inception, vision
    from vpt_gen.checkpoints.backbone import TOKENIZERS, PretrainedNet, load_net
    from vpt_gen.evaluation.clip_space import clip_space
    from vpt_gen.evaluation.dinov2_space import dinov2_space
    from vpt_gen.evaluation.features import FeatureSpace, inception_space, tokenizer_space

NAMES = ("inception", "dinov2", "clip", "tokenizer")
# The default tokenizer if no run or config names one: gray drawings, sides of 32 pixels.
SHIPPED, SHIPPED_SIDE = f"{DEMO}/tokenizer", SIDES[DEMO]


def choose_space(weights_dir: str) -> str:
    """Returns "inception" if its weights exist; otherwise "tokenizer", with a message."""
    if (pathlib.Path(weights_dir).expanduser() / inception.FILE).exists():
        return "inception"
    say(
        f"{inception.FILE} is not in {weights_dir}: figures are computed in a tokenizer's "
        "features, without FID. --features=inception fetches the file."
    )
    return "tokenizer"


def open_space(
    name: str, weights_dir: str, tokenizer: PretrainedNet | None = None, side: int = SHIPPED_SIDE
) -> FeatureSpace:
    """Opens a feature space.

    Args:
      name: of `NAMES`.
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
    if tokenizer is None:
        return tokenizer_space(load_net(SHIPPED, *TOKENIZERS), SHIPPED_SIDE)
    return tokenizer_space(tokenizer, side)
