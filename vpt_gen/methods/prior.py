"""Prior preservation: the adapted net keeps predicting what the source drew of its own classes.

Source: DreamBooth (arXiv 2208.12242), which adds to the loss that of images which the unchanged
model draws, as many in each update as there are new ones. `runs/prior.py` draws them.
"""

import dataclasses

import jax

from vpt_gen.nets.additions import with_own_classes
from vpt_gen.training.objectives import Objective
from vpt_gen.training.parts import Part
from vpt_gen.training.state import Batch, Params

# In a batch: what the source drew, (B, N), and its classes, (B,).
TOKENS, LABELS = "prior_tokens", "prior_label"


def prior_losses(
    objective: Objective, params: Params, batch: Batch, part: Part, key: jax.Array, dropout: bool
) -> jax.Array:
    """Computes the losses (B / count,) of a part of the source's images.

    Guidance is not distilled into the source's classes, as the source drew them without.

    Args:
      objective: of the new images.
      params: of the adapted net.
      batch: has `TOKENS` and `LABELS`.
      part: of the batch.
      key: of masks and dropout, in this update.
      dropout: whether the transformer's dropout is on.
    """
    mask_key, dropout_key = jax.random.split(key)
    objective = dataclasses.replace(objective, distilled_guidance=0.0)
    examples = objective.examples(batch[TOKENS].astype("int32"), mask_key)
    return objective.losses(
        with_own_classes(params),
        part.rows(examples),
        class_ids=part.rows(batch[LABELS]),
        dropout_key=part.key(dropout_key) if dropout else None,
    )
