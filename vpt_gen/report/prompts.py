"""Section: what the prompts learned about classes."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np

from vpt_gen.evaluation import prompt_space
from vpt_gen.evaluation.prompt_space import ClusterMatch, Resemblance
from vpt_gen.nets.prompt_generator import NO_INSTANCE, PromptGenerator
from vpt_gen.report.charts import (
    Series,
    chart,
    class_color,
)
from vpt_gen.report.conditions import MAX_CLASSES
from vpt_gen.report.html import (
    Node,
    fold,
    h,
    section,
    table,
)
from vpt_gen.runs.opened import TunedRun

MAX_INSTANCES = 1000
_MIN_POINTS = 4  # Fewer points have no neighborhoods.
_MAX_NAMED = 12  # More classes are only named by tooltips.


@dataclasses.dataclass(frozen=True)
class PromptStudy:
    """Measurements of a run's prompts.

    Attributes:
      conditions: (n, 2) of the prompts: class, and training image or `NO_INSTANCE`.
      plane: (n, 2) their t-SNE; None if they are too few.
      alone: (n, 2) the t-SNE of instances without their class part; None if there is none.
      clusters: s -> how clusters of instance prompts, cut to s tokens, match classes.
      similarity: (C, C) cosines between class prompts; None if there are none, or one.
      resemblance: s -> how similar classes with similar prompts, cut to s tokens, look.
    """

    conditions: np.ndarray
    plane: np.ndarray | None
    alone: np.ndarray | None
    clusters: dict[int, ClusterMatch]
    similarity: np.ndarray | None
    resemblance: dict[int, Resemblance]


def study_prompts(run: TunedRun, looks: np.ndarray, seed: int) -> PromptStudy:
    """Measures the prompts of a run.

    Args:
      run: the opened run.
      looks: (C, d) mean features of each class's real images; nan if a class has none.
      seed: of the draw of instances, of k-means and of t-SNE.
    """
    generator = _generator(run)
    classes = _class_conditions(len(run.facts["class_names"])) if generator.num_classes else None
    instances = _instance_conditions(run, seed)
    conditions = np.concatenate([x for x in (classes, instances) if x is not None])
    prompts = prompt_space.make_prompts(generator, run.params, conditions)
    plane = alone = similarity = None
    clusters, resemblance = {}, {}
    if len(conditions) >= _MIN_POINTS:
        plane = prompt_space.embed(_whole(prompts), seed)
    if classes is not None and len(classes) > 1:
        of_classes = prompts[: len(classes)]
        similarity = prompt_space.similarity(_whole(of_classes))
        resemblance = _resemblance(of_classes, looks, seed)
    if instances is not None:
        of_instances = prompts[-len(instances) :]
        if classes is not None:
            params = prompt_space.without_classes(run.params)
            of_instances = prompt_space.make_prompts(generator, params, instances)
            if len(instances) >= _MIN_POINTS:
                alone = prompt_space.embed(_whole(of_instances), seed)
        clusters = _clusters(of_instances, instances[:, 0], seed)
    return PromptStudy(conditions, plane, alone, clusters, similarity, resemblance)


def _whole(prompts: np.ndarray) -> np.ndarray:
    *_, (_, points) = prompt_space.coordinates(prompts)
    return points


def _class_conditions(count: int) -> np.ndarray:
    return np.stack([np.arange(count), np.full(count, NO_INSTANCE)], axis=1).astype(np.int32)


def _generator(run: TunedRun) -> PromptGenerator:
    """Returns the prompt generator of a run with prompts."""
    return cast(PromptGenerator, run.token_sampler.method.generator)


def _instance_conditions(run: TunedRun, seed: int) -> np.ndarray | None:
    """Returns all training images of prompts, or `MAX_INSTANCES` drawn by seed."""
    if not _generator(run).num_instances:
        return None
    labels = np.array(run.facts["instance_labels"], np.int32)
    drawn = np.random.default_rng([seed, 0x7A]).permutation(len(labels))[:MAX_INSTANCES]
    drawn.sort()
    return np.stack([labels[drawn], drawn], axis=1).astype(np.int32)


def _clusters(prompts: np.ndarray, labels: np.ndarray, seed: int) -> dict[int, ClusterMatch]:
    if not 2 <= len(np.unique(labels)) < len(labels):
        return {}
    return {
        s: prompt_space.cluster_match(points, labels, seed)
        for s, points in prompt_space.coordinates(prompts)
    }


def _resemblance(prompts: np.ndarray, looks: np.ndarray, seed: int) -> dict[int, Resemblance]:
    """Compares classes with images; a correlation needs more than one pair of distances."""
    seen = ~np.isnan(looks).any(axis=1)
    if seen.sum() < _MIN_POINTS:
        return {}
    return {
        s: prompt_space.resemblance(points, looks[seen], seed)
        for s, points in prompt_space.coordinates(prompts[seen])
    }


def prompts_section(
    study: PromptStudy,
    class_names: list[str],
    compared: Mapping[str, PromptStudy] | None = None,
    likeness: Sequence[Node] = (),
) -> Node:
    """Shows maps of the prompts, how they match classes at each length, and similar classes.

    Args:
      study: of the run.
      class_names: of all classes.
      compared: name -> study of other runs on the same data, for the same charts.
      likeness: which of the source's classes they act like, see `likeness_part`.
    """
    others = compared or {}
    return section(
        "prompts",
        "What the prompts learned",
        h("div.charts", *_maps(study, class_names)),
        *likeness,
        *_cluster_part(study, others),
        *_class_part(study, class_names, others),
    )


def _maps(study: PromptStudy, class_names: list[str]) -> list[Node]:
    if study.plane is None:
        return [h("p", "There are too few prompts for a map.")]
    of_class = study.conditions[:, 1] == NO_INSTANCE
    both = of_class.any() and not of_class.all()
    what = "all prompts" if both else "class prompts" if of_class.all() else "instance prompts"
    maps = [_map(study.plane, study.conditions, class_names, f"t-SNE of {what}")]
    if study.alone is not None:
        instances = study.conditions[~of_class]
        title = "t-SNE of instance prompts, without their class part"
        maps.append(_map(study.alone, instances, class_names, title))
    return maps


def _map(plane: np.ndarray, conditions: np.ndarray, class_names: list[str], title: str) -> Node:
    """Draws points by class; a class prompt is larger, and named if there are few names."""
    count = len(class_names)
    written = (conditions[:, 1] == NO_INSTANCE).any()  # With these names a legend is not needed.
    series = []
    for c in np.unique(conditions[:, 0]).tolist():
        for of_class in (False, True):
            rows = (conditions[:, 0] == c) & ((conditions[:, 1] == NO_INSTANCE) == of_class)
            if not rows.any():
                continue
            points, instances = plane[rows], conditions[rows, 1]
            series.append(
                Series(
                    "" if written or count > _MAX_NAMED else class_names[c],
                    points[:, 0].tolist(),
                    points[:, 1].tolist(),
                    color=class_color(c, count),
                    shape=c,
                    line=False,
                    labels=[_said(class_names[c], i) for i in instances],
                    notes=[class_names[c]] if of_class and count <= _MAX_NAMED else (),
                    size=6 if of_class else 3,
                )
            )
    series.sort(key=lambda one: one.size)
    return chart(series, title, axes=False)


def _said(name: str, instance: int) -> str:
    return name if instance == NO_INSTANCE else f"{name}, training image {instance}"


def _cluster_part(study: PromptStudy, others: Mapping[str, PromptStudy]) -> list[Node]:
    if not study.clusters:
        return []
    count = int((study.conditions[:, 1] != NO_INSTANCE).sum())
    text = (
        f"The prompts of {count:,} training images, cut to their first tokens and put into as many "
        "k-means clusters as there are classes. Purity: share of prompts in a cluster that is "
        "mostly of their class; chance: the same with shuffled labels. Silhouette (of the classes "
        "themselves): above 0, a prompt is nearer to its class than to the next."
    )
    if study.alone is not None:
        text += " The class part of the prompts is removed: it would reveal the class."
    lines = {
        "purity": ("purity", "var(--first)"),
        "purity by chance": ("chance", "var(--quiet)"),
        "mutual information (NMI)": ("nmi", "var(--second)"),
        "silhouette": ("silhouette", "var(--third)"),
    }
    series = [
        _by_length(name, {s: getattr(m, field) for s, m in study.clusters.items()}, color, shape)
        for shape, (name, (field, color)) in enumerate(lines.items())
    ]
    series += _of_others(others, lambda other: {s: m.purity for s, m in other.clusters.items()})
    rows = [
        [str(s), *(f"{v:.3f}" for v in (m.purity, m.chance, m.nmi, m.silhouette))]
        for s, m in study.clusters.items()
    ]
    return [
        h("h3", "Do clusters of instance prompts match the classes?"),
        h("p", text),
        h("div.charts", _length_chart(series, "Match of clusters and classes")),
        fold("As a table", table(["tokens", "purity", "chance", "NMI", "silhouette"], rows)),
    ]


def _by_length(name: str, values: Mapping[int, float], color: str, shape: int) -> Series:
    return Series(
        name,
        [math.log2(s) for s in values],
        list(values.values()),
        color=color,
        shape=shape,
        labels=[f"{name}, {s} tokens: {value:.3f}" for s, value in values.items()],
    )


def _of_others(
    others: Mapping[str, PromptStudy], figures: Callable[[PromptStudy], Mapping[int, float]]
) -> list[Series]:
    """Makes one point for each other run: its figure at its whole length."""
    points = {name: max(figures(study).items()) for name, study in others.items() if figures(study)}
    if not points:
        return []
    return [
        Series(
            "other runs, whole prompts",
            [math.log2(s) for s, _ in points.values()],
            [value for _, value in points.values()],
            color="var(--text)",
            shape=3,
            line=False,
            labels=[f"{name}, {s} tokens: {value:.3f}" for name, (s, value) in points.items()],
            size=5,
        )
    ]


def _length_chart(series: Sequence[Series], title: str) -> Node:
    places = sorted({x for one in series for x in one.x})
    ticks = {x: f"{2**x:.0f}" for x in places}
    return chart(series, title, "tokens of the prompt used", x_ticks=ticks, y_shown=(0, 1))


def _class_part(
    study: PromptStudy, class_names: list[str], others: Mapping[str, PromptStudy]
) -> list[Node]:
    if study.similarity is None:
        return []
    nodes = [
        h("h3", "Which classes have similar prompts?"),
        h(
            "p",
            "Cosine between the prompts of two classes, after subtracting the mean of all classes; "
            f"unrelated ones would have {-1 / (len(class_names) - 1):.2f}.",
        ),
        h(
            "div.charts",
            _heat_map(study.similarity, class_names),
            _closest(study.similarity, class_names),
        ),
    ]
    if study.resemblance:
        series = [
            _by_length(
                "95 of 100 shuffles are below",
                {s: found.chance for s, found in study.resemblance.items()},
                "var(--quiet)",
                1,
            ),
            _by_length("correlation", _correlations(study), "var(--first)", 0),
            *_of_others(others, _correlations),
        ]
        nodes += [
            h("h3", "Do similar classes have similar prompts?"),
            h(
                "p",
                "Rank correlation (Spearman) between the distances of class prompts, cut to their "
                "first tokens, and the distances of the classes' mean real images in the "
                "features in which nearest images are found. 1: the same order; 0: nothing in "
                "common.",
            ),
            h("div.charts", _length_chart(series, "Similarity of prompts and of images")),
        ]
    return nodes


def _correlations(study: PromptStudy) -> dict[int, float]:
    return {s: found.correlation for s, found in study.resemblance.items()}


def _heat_map(similarity: np.ndarray, class_names: list[str]) -> Node | None:
    """Draws a square of colors with values as tooltips; nothing if it is too fine."""
    count = len(class_names)
    if count > MAX_CLASSES:
        return None
    rows = []
    for i, name in enumerate(class_names):
        cells = []
        for j, other in enumerate(class_names):
            value = similarity[i, j]
            hue = "var(--second)" if value > 0 else "var(--first)"
            style = f"background:color-mix(in srgb, {hue} {min(abs(value), 1):.0%}, transparent)"
            cells.append(h("td", style=style, title=f"{name}, {other}: {value:.2f}"))
        rows.append(h("tr", h("th", name, scope="row"), *cells))
    numbers = h("tr", h("th"), *(h("th", name, scope="col") for name in class_names))
    return h(
        "figure",
        h("figcaption", "Orange: similar; blue: opposite."),
        h("div.wide", h("table.heat", numbers, *rows), tabindex=0),
    )


def _closest(similarity: np.ndarray, class_names: list[str], count: int = 8) -> Node:
    first, second = np.triu_indices(len(class_names), k=1)
    values = similarity[first, second]
    order = np.argsort(-values)[:count]
    rows = [
        [f"{class_names[first[i]]} and {class_names[second[i]]}", f"{values[i]:.2f}"] for i in order
    ]
    return table(["most similar", "cosine"], rows)
