"""Which feature space figures are taken in: Inception's, or that of a tokenizer at hand."""

import pathlib

from vpt_gen.checkpoints.backbone import (
    TOKENIZERS,
    PretrainedNet,
    load_net,
)
from vpt_gen.checkpoints.inception import FILE, obtain_inception
from vpt_gen.checkpoints.shipped import DEMO, SIDES
from vpt_gen.evaluation.features import (
    FeatureSpace,
    inception_space,
    tokenizer_space,
)
from vpt_gen.machine.progress import say

NAMES = ("inception", "tokenizer")
# What serves where no run or config names a tokenizer: gray drawings, 32 pixels a side.
SHIPPED, SHIPPED_SIDE = f"{DEMO}/tokenizer", SIDES[DEMO]


def choose_space(weights_dir: str) -> str:
    """Inception where its weights are at hand; otherwise a tokenizer, which is told."""
    if (pathlib.Path(weights_dir).expanduser() / FILE).exists():
        return "inception"
    say(
        f"{FILE} is not in {weights_dir}: figures are taken in a tokenizer's features, and there "
        "is no FID. --features=inception fetches it."
    )
    return "tokenizer"


def open_space(
    name: str, weights_dir: str, tokenizer: PretrainedNet | None = None, side: int = SHIPPED_SIDE
) -> FeatureSpace:
    """A feature space.

    Args:
      name: of `NAMES`.
      weights_dir: folder of published weights; Inception's are fetched where it lacks them.
      tokenizer: of a run, for the tokenizer's space; None takes the shipped one.
      side: pixels of the images that the tokenizer was trained on.

    Raises:
      UserError: weights that are damaged, or cannot be fetched.
    """
    if name == "inception":
        return inception_space(obtain_inception(weights_dir))
    if tokenizer is None:
        return tokenizer_space(load_net(SHIPPED, *TOKENIZERS), SHIPPED_SIDE)
    return tokenizer_space(tokenizer, side)
