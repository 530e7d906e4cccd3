"""The page of a study in Markdown: its runs, results, and missing cells."""

import pathlib
import re
from collections.abc import Iterator, Mapping

import numpy as np
from ml_collections import ConfigDict

from vpt_gen.errors import UserError
from vpt_gen.evaluation import report
from vpt_gen.images import grids
from vpt_gen.machine.files import check_output, check_writable, not_ours, write_text
from vpt_gen.study.cells import (
    Group,
    all_cells,
    groups,
    searched,
    searches,
)
from vpt_gen.study.choices import CHOSEN, read_chosen
from vpt_gen.study.plots import (
    can_plot,
    label_of,
    shots_label,
    shown_figures,
)
from vpt_gen.study.results import (
    BEST,
    LAST,
    Results,
    Spread,
    spread_name,
)
from vpt_gen.study.runs import distance_of
from vpt_gen.study.states import read_attempts

# Text that people write about the results is between these lines, and is kept.
FINDINGS, END = "<!-- findings -->", "<!-- end of findings -->"
# A run has collapsed if the last checkpoint's distance is this multiple of the best one's.
COLLAPSED = 2.0
_FACTS = {
    "trained_parameters": "parameters trained",
    "optimizer_bytes": "optimizer, bytes",
    "num_steps": "updates",
    "tuning_seconds": "seconds",
}


def check_page(path: pathlib.Path) -> None:
    """Raises UserError if the page cannot be written, or is not a page of a study."""
    check_writable(path, "--page")
    if path.exists() and FINDINGS.encode() not in path.read_bytes():
        raise not_ours(path, "--page")


def write_page(
    study: ConfigDict,
    results: Results,
    pictures: Mapping[str, np.ndarray],
    folder: pathlib.Path,
    path: pathlib.Path,
    command: str,
) -> None:
    """Writes the page and its pictures next to it; keeps findings that people wrote into it.

    Args:
      study: the checked study.
      results: of its cells.
      pictures: see `plots.pictures`.
      folder: of the study.
      path: of the page.
      command: that runs the study.

    Raises:
      UserError: a file that we did not write would be replaced.
    """
    check_page(path)
    kept = re.search(f"{FINDINGS}\n(.*?){END}", _read_page(path), re.DOTALL)
    places = {path.with_name(f"{path.stem}_{name}.png"): p for name, p in pictures.items()}
    if not path.exists():  # Otherwise they are the page's, of whatever version.
        for place in places:
            check_output(place, "--page")
    for place, picture in places.items():
        grids.save_png(place, picture)
    parts = [
        f"# {study.title}",
        f"{FINDINGS}\n{kept.group(1) if kept else ''}{END}",
        *_about(study, results, command),
        *_tables(study, results, pictures, path.stem),
        *_collapses(study, results),
        *_learning_rates(study, folder),
        *_repeating(study, folder),
        *_missing(results),
    ]
    write_text(path, "\n\n".join(parts) + "\n")


def _read_page(path: pathlib.Path) -> str:
    """Reads the existing page, which may have findings; '' if there is none."""
    try:
        return path.read_text("utf-8") if path.is_file() else ""
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8, so the findings in it cannot be kept: save it as UTF-8, or "
            "delete it."
        ) from error


def _about(study: ConfigDict, results: Results, command: str) -> Iterator[str]:
    cells = all_cells(study)
    done = len(cells) - len(results.missing)
    yield f"```\n{command}\n```"
    budget, search = study.budget, study.search
    given = f"{budget.steps:,} updates"
    if budget.seconds:
        given = (
            f"{budget.seconds:g} seconds of updates, turned into a number of updates by the rate "
            f"of {budget.calibration_steps} updates (without compilation)"
        )
    yield (
        f"Runs done: {done} of {len(cells)}. Every method gets the same training images, "
        f"{given}, and draws {study.samples.num:,} images, the same number of each class, which "
        f"are compared with held-out ones in {study.samples.features} features "
        "(docs/evaluation.md). A seed draws the training images, the parameters, the "
        "batches and the samples; the held-out images are the same for all."
    )
    if searches(study):
        multiples = ", ".join(f"{x:.3g}" for x in search.multiples)
        share = "the whole" if search.share == 1 else f"{search.share:.3g} of the"
        images = "" if search.shots is None else f" and {shots_label(search.shots)} training images"
        yield (
            f"The learning rate of each row is the best of {multiples} times the method's default, "
            f"in runs of seed {search.seed} that get {share} budget{images}: the one with the "
            f"lowest {report.label(distance_of(study))} of {search.num_samples:,} generated images "
            f"from validation images ({study.validation:g} of what is not held out, never trained "
            "on). This score is used for all methods, as GANs have no likelihood."
        )


def _tables(
    study: ConfigDict, results: Results, pictures: Mapping[str, np.ndarray], stem: str
) -> Iterator[str]:
    num_seeds = len(study.seeds)
    for dataset, of in study.datasets.items():
        yield f"## {of.label or dataset}"
        if (name := f"{dataset}_figures") in pictures:
            yield (
                f"![Metrics of each variant]({stem}_{name}.png)\n\n*Medians over {num_seeds} "
                f"seed(s); bars: {spread_name(num_seeds)}; dashed: real images.*"
            )
        elif not can_plot():
            yield (
                "The plot of these metrics is left out, because it needs matplotlib: "
                "`pip install -e .[demo]`, then the same command with `--gather`."
            )
        for shots in study.shots:
            yield f"### Training images: {shots_label(shots)}"
            yield _table(study, results, dataset, shots)
            if (name := f"{dataset}_{shots or 'all'}_samples") in pictures:
                yield (
                    f"![A row of images of each variant]({stem}_{name}.png)\n\n*The first images "
                    f"of each class, seed {study.seeds[0]}, unselected.*"
                )
    yield (
        f"Medians over seeds; in parentheses their range ({spread_name(num_seeds)}). `seconds`: of "
        "training, with compilation and measurements in between. Better values: "
        + ", ".join(f"{report.label(n)} {report.direction(n)}" for n in shown_figures(study))
        + "."
    )


def _table(study: ConfigDict, results: Results, dataset: str, shots: int) -> str:
    names = shown_figures(study)
    heads = ["", "seeds", *map(report.label, names), *_FACTS.values()]
    lines = [_line(heads), _line(["---", *["---:"] * (len(heads) - 1)])]
    floors = [results.floors(name, dataset, shots) for name in names]
    lines.append(_line(["*real images*", "", *map(_spread, floors), *[""] * len(_FACTS)]))
    found = {name: results.spreads(name) for name in (*names, *_FACTS)}
    for variant, of in study.variants.items():
        group = Group(of.trained_as or variant, dataset, shots)
        for checkpoint in (LAST, BEST) if of.keep_best else (LAST,):
            key = (group, variant, checkpoint)
            count = sum(row.key == key for row in results.rows)
            spreads = [found[name].get(key) for name in names]
            facts = [found[name].get(key) for name in _FACTS]
            cells = [label_of(study, variant, checkpoint), f"{count} of {len(study.seeds)}"]
            # For example, a variant without classes has no class agreement.
            absent = "not measured" if count else "missing"
            cells += [_spread(x) if x else absent for x in spreads]
            lines.append(_line([*cells, *(f"{x.median:,.0f}" if x else "" for x in facts)]))
    return "\n".join(lines)


def _spread(of: Spread | None) -> str:
    if of is None:
        return ""
    if of.count == 1:
        return f"{of.median:.3g}"
    return f"{of.median:.3g} ({of.low:.3g} to {of.high:.3g})"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _collapses(study: ConfigDict, results: Results) -> Iterator[str]:
    """Lists runs whose last checkpoint is much worse than the best, or cannot be measured."""
    name = distance_of(study)
    rows = {(row.cell, row.checkpoint): row.figures.get(name) for row in results.rows}
    fallen = [
        f"- `{cell}`: {report.label(name)} {_or_none(last)} at the end, {best:.3g} at its best"
        for (cell, checkpoint), last in rows.items()
        if checkpoint == LAST
        and (best := rows.get((cell, BEST))) is not None
        and (last is None or last > COLLAPSED * best)
    ]
    if fallen:
        yield (
            f"## Collapsed\n\nThe distance from real images at the end is {COLLAPSED:g} times the "
            "best one or more, or the images cannot be measured:"
        )
        yield "\n".join(fallen)


def _or_none(figure: float | None) -> str:
    return "not measured" if figure is None else f"{figure:.3g}"


def _learning_rates(study: ConfigDict, folder: pathlib.Path) -> Iterator[str]:
    if not searches(study):
        return
    heads = ["", "data", "training images", "multiple", "scores", ""]
    lines = [_line(heads), _line(["---"] * len(heads))]
    for group in groups(study):
        if searched(study, group) != group:
            continue
        cell = next(c for c in all_cells(study) if c.kind == "search" and c.group == group)
        record = read_chosen((folder / cell.path).with_name(CHOSEN))
        where = [label_of(study, group.variant), group.dataset, shots_label(group.shots)]
        if record is None:
            lines.append(_line([*where, "missing", "", ""]))
            continue
        scores = [f"{multiple}: {score:.3g}" for multiple, score in record["scores"].items()]
        scores += [f"{multiple:.4g}: diverged" for multiple in record["diverged"]]
        edge = "at the edge" if record["at_the_edge"] else ""
        lines.append(_line([*where, f"{record['multiple']:.3g}", "; ".join(scores), edge]))
    yield "## Learning rates\n\nThe chosen multiple, and the distance with each:"
    yield "\n".join(lines)


def _repeating(study: ConfigDict, folder: pathlib.Path) -> Iterator[str]:
    """Lists one command of each variant, as it was run."""
    commands = []
    for variant in study.variants:
        cells = [c for c in all_cells(study) if (c.kind, c.variant) == ("cells", variant)]
        attempts = [a for cell in cells[:1] for a in read_attempts(folder / cell.path)]
        commands += list(dict.fromkeys(attempt.command for attempt in attempts))
    if commands:
        yield "## One run of each variant\n\nAll commands are in the cells' `attempts.json`."
        yield "```\n" + "\n\n".join(commands) + "\n```"


def _missing(results: Results) -> Iterator[str]:
    if results.missing:
        yield "## Missing cells"
        yield "\n".join(f"- `{cell}`: {why}" for cell, why in results.missing.items())
