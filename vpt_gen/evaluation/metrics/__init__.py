"""All metrics, in the order of printing; a new one needs its file and a line here."""

from vpt_gen.evaluation.figures import Figure
from vpt_gen.evaluation.metrics.class_agreement import ClassAgreement
from vpt_gen.evaluation.metrics.diversity import IntraClassDiversity, IntraLpips
from vpt_gen.evaluation.metrics.frechet import Fid, FrechetDistance
from vpt_gen.evaluation.metrics.inception_score import InceptionScore
from vpt_gen.evaluation.metrics.kid import Kid
from vpt_gen.evaluation.metrics.memorization import Memorization
from vpt_gen.evaluation.metrics.metric import Metric
from vpt_gen.evaluation.metrics.precision_recall import DensityCoverage, PrecisionRecall

METRICS: tuple[Metric, ...] = (
    Fid(),
    FrechetDistance(),
    Kid(),
    InceptionScore(),
    PrecisionRecall(),
    DensityCoverage(),
    ClassAgreement(),
    Memorization(),
    IntraClassDiversity(),
    IntraLpips(),
)
FIGURES: dict[str, Figure] = {
    figure.name: figure for metric in METRICS for figure in metric.figures
}


def names_in(space: str) -> list[str]:
    """Returns the names of the figures in a feature space."""
    return [figure.name for metric in METRICS if metric.fits(space) for figure in metric.figures]
