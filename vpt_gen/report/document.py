"""The whole page: opens the run's data, generates, measures, and assembles the sections."""

import shlex
from collections.abc import Callable

import numpy as np

from vpt_gen.decode.decoders import make_decoder
from vpt_gen.evaluation.curves import read_curves
from vpt_gen.machine.files import absolute
from vpt_gen.machine.progress import say
from vpt_gen.report import html
from vpt_gen.report.about import about_section, lead
from vpt_gen.report.curves import curves_section
from vpt_gen.report.decoding import decoding_section
from vpt_gen.report.draws import Draws, draws_of
from vpt_gen.report.figures import figures_section, read_metrics
from vpt_gen.report.likeness import likeness_part, num_source_classes
from vpt_gen.report.marquee import marquee_section, study
from vpt_gen.report.prompts import prompts_section, study_prompts
from vpt_gen.report.real import RealImages, open_real
from vpt_gen.report.samples import (
    hero,
    make_grid,
    samples_section,
)
from vpt_gen.runs.generation import Generation
from vpt_gen.runs.likeness import likenesses
from vpt_gen.runs.opened import TunedRun
from vpt_gen.runs.samples import Samples
from vpt_gen.runs.shared_samples import SharedSamples
from vpt_gen.training.clock import training_seconds


def make_page(
    run: TunedRun,
    num: int,
    seed: int,
    compared: dict[str, TunedRun],
    draw: Callable[[Generation], Samples] = Generation.samples,
) -> str:
    """Makes the HTML of a run's page.

    Args:
      run: the opened run.
      num: images per class, and per pair of prompts and marquee schedule.
      seed: of all generated images and random draws.
      compared: name -> other runs on the same classes, for the analysis of prompts.
      draw: draws the images of `draws_of`, or reads those that were drawn before.

    Raises:
      UserError: data that are missing or not those of the training, or damaged metrics.
    """
    workdir, class_names = run.workdir, run.facts["class_names"]
    metrics = read_metrics(workdir)
    real = open_real(run)
    draws = draws_of(run, real.train.labels, num, seed)

    say("Generating images of each class, and finding the nearest training images")
    grid = make_grid(real, draws.grid.bank[:, 0], draw(draws.grid).images, num, seed)
    say("Drawing the order of decoding")
    films = draw(draws.films)
    of_prompts = _prompt_sections(real, draws, draw, compared) if run.has_prompts else []
    sections = [
        samples_section(grid, class_names, seed, _searched(real)),
        figures_section(metrics, evaluation_command(workdir)),
        curves_section(read_curves(workdir), real.held_out_name),
        *_decoding(run, films),
        *of_prompts,
        about_section(run, real.train, real.held_out, training_seconds(workdir)),
    ]
    name = absolute(workdir).name
    return html.page(name, [html.h("p", lead(run)), hero(grid, class_names)], sections)


def draw_together(run: TunedRun, num: int, seed: int, shared: SharedSamples) -> None:
    """Draws the images of a page; all processes call this together, for `shared.read`."""
    for generation in draws_of(run, open_real(run).train.labels, num, seed).all:
        shared.draw(generation)


def _prompt_sections(
    real: RealImages,
    draws: Draws,
    draw: Callable[[Generation], Samples],
    compared: dict[str, TunedRun],
) -> list[html.Node]:
    """Makes the sections for prompts only; for the arguments see `make_page`."""
    run, class_names, seed = real.run, real.run.facts["class_names"], draws.grid.seed
    say("Generating images under marquee schedules")
    images = (draw(generation).images for generation in draws.marquees)
    marquee = study(real, draws.pairs, draws.schedules, images) if draws.marquees else None
    say("Prompts")
    looks = _class_means(real)
    prompts = study_prompts(run, looks, seed)
    others = {name: study_prompts(other, looks, seed) for name, other in compared.items()}
    alike = []
    if draws.alike:
        tokens = draw(draws.alike).tokens
        alike = likenesses(run, draws.classes, num_source_classes(run), tokens)
    return [
        marquee_section(marquee, class_names),
        prompts_section(prompts, class_names, others, likeness_part(run, draws.classes, alike)),
    ]


def evaluation_command(workdir: str) -> str:
    """Returns the command that measures a run."""
    return f"python -m vpt_gen.evaluate --checkpoint={shlex.quote(workdir)}"


def _decoding(run: TunedRun, films: Samples) -> list[html.Node]:
    """Makes the section of the decoding order; empty for a GAN, which draws whole images."""
    if not films.tokens.size:
        return []
    sampler, names = run.token_sampler, run.facts["class_names"]
    net = sampler.transformer
    decoder = make_decoder(net.family, sampler.options)
    stages = decoder.num_stages(net, sampler.num_tokens)
    return [decoding_section(films, names, decoder.iteration, stages, sampler.token_grid)]


def _searched(real: RealImages) -> str:
    found, count = len(real.searched), len(real.train)
    where = f"Distances are those of {real.extractor.space.name} features."
    if found < count:
        covered = f"{found:,} of the {count:,} training images, drawn at random"
        return f"The search covers {covered}. {where}"
    return f"The search covers all {count:,} training images. {where}"


def _class_means(real: RealImages) -> np.ndarray:
    """Returns mean features (C, d) of each class's training images; nan if it has none."""
    labels = real.train.labels[real.searched]
    features = real.train_rows[real.extractor.space.near]
    return np.stack(
        [
            features[labels == c].mean(axis=0) if (labels == c).any() else features[0] * np.nan
            for c in range(real.train.num_classes)
        ]
    )
