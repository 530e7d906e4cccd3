"""All metrics, in the order of printing; a new one needs its file and a line here."""

from collections.abc import Collection

from vpt_gen.errors import UserError
from vpt_gen.evaluation.figures import Figure
from vpt_gen.evaluation.metrics.class_agreement import ClassAgreement
from vpt_gen.evaluation.metrics.cmmd import Cmmd, KernelDistance
from vpt_gen.evaluation.metrics.copying import Authenticity, DataCopying
from vpt_gen.evaluation.metrics.diversity import IntraClassDiversity, IntraClassLpips
from vpt_gen.evaluation.metrics.frechet import FdDinov2, Fid, FrechetDistance
from vpt_gen.evaluation.metrics.inception_score import InceptionScore
from vpt_gen.evaluation.metrics.intra_lpips import IntraLpips
from vpt_gen.evaluation.metrics.kid import Kid
from vpt_gen.evaluation.metrics.likelihood import FeatureLikelihood
from vpt_gen.evaluation.metrics.memorization import Memorization
from vpt_gen.evaluation.metrics.metric import Metric
from vpt_gen.evaluation.metrics.mind import Mind
from vpt_gen.evaluation.metrics.precision_recall import DensityCoverage, PrecisionRecall
from vpt_gen.evaluation.metrics.vendi import Vendi

METRICS: tuple[Metric, ...] = (
    Fid(),
    FdDinov2(),
    FrechetDistance(),
    Mind(),
    Kid(),
    Cmmd(),
    KernelDistance(),
    InceptionScore(),
    PrecisionRecall(),
    DensityCoverage(),
    ClassAgreement(),
    FeatureLikelihood(),
    Memorization(),
    Authenticity(),
    DataCopying(),
    Vendi(),
    IntraClassDiversity(),
    IntraClassLpips(),
    IntraLpips(),
)
FIGURES: dict[str, Figure] = {
    figure.name: figure for metric in METRICS for figure in metric.figures
}


ALL = "all"


def chosen_metrics(space: str, also: Collection[str] = ()) -> list[Metric]:
    """Returns the metrics of a feature space to measure.

    Args:
      space: its name.
      also: figures of metrics that are only measured on request, or "all".
    """
    return [
        metric
        for metric in METRICS
        if metric.fits(space)
        and (
            not metric.on_request
            or ALL in also
            or any(figure.name in also for figure in metric.figures)
        )
    ]


def names_in(space: str, also: Collection[str] = ()) -> list[str]:
    """Returns the names of the figures of `chosen_metrics`."""
    return [figure.name for metric in chosen_metrics(space, also) for figure in metric.figures]


def check_requested(also: Collection[str], space: str, where: str) -> None:
    """Raises UserError if a figure of `also`, given by `where`, is none of a feature space's."""
    known = [f.name for m in METRICS if m.fits(space) for f in m.figures]
    on_request = [f.name for m in METRICS if m.on_request and m.fits(space) for f in m.figures]
    for name in also:
        if name not in (*known, ALL):
            raise UserError(
                f"{where}: {name!r} is no figure of {space} features; on request there are "
                f"{', '.join(on_request)}, and {ALL!r} for these."
            )
