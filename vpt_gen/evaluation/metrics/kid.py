"""Kernel distance (KID, arXiv 1801.01401)."""

from collections.abc import Sequence

from vpt_gen.errors import UserError
from vpt_gen.evaluation import distances
from vpt_gen.evaluation.features import Features, FeatureSpace
from vpt_gen.evaluation.figures import Figure, Value
from vpt_gen.evaluation.metrics.metric import Distance

SUBSETS, SUBSET_SIZE = 100, 1000


class Kid(Distance):
    """The unbiased estimate, as a mean over subsets."""

    figures = (
        Figure(
            "kid",
            "lower",
            "Kernel distance (KID): like the Frechet distance, but unbiased for small sets.",
            "KID",
        ),
    )

    def compare(self, space: FeatureSpace, images: Features, real: Features) -> Sequence[Value]:
        rows, real_rows = images.rows[space.main], real.rows[space.main]
        fewest = min(len(rows), len(real_rows))
        if fewest < 4:
            raise UserError(f"KID needs at least four images of each set, but one has {fewest}.")
        # The mean does not depend on their size.
        size = SUBSET_SIZE if fewest >= SUBSET_SIZE else fewest // 2
        mean, std = distances.kid(rows, real_rows, num_subsets=SUBSETS, subset_size=size)
        details = {
            "feature": space.main,
            "subsets": SUBSETS,
            "subset_size": size,
            "subset_seed": distances.SEED,
            "kernel": f"(x.y / {rows.shape[1]} + 1)^3",
        }
        # Subsets as large as a set do not vary.
        return [Value(mean, None if size == fewest else std, details=details)]
