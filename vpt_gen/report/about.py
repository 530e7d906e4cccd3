"""Section: facts about the run, and the command that reproduces it."""

from typing import Any, cast

import jax
import numpy as np

from vpt_gen.checkpoints import arrival
from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.checkpoints.store import read_record
from vpt_gen.config.migration import migrate
from vpt_gen.config.repeat import training_command
from vpt_gen.data.batches import evaluation_name
from vpt_gen.data.source import Source
from vpt_gen.methods import METHODS
from vpt_gen.methods.record import TransformerMethod
from vpt_gen.report.charts import number
from vpt_gen.report.html import (
    Node,
    command,
    fold,
    h,
    section,
    table,
)
from vpt_gen.runs.opened import TunedRun

_CONDITIONS = {
    "class": "each of {classes:,} classes",
    "instance": "each of {instances:,} training images",
    "class+instance": "each of {classes:,} classes and {instances:,} training images",
}


def lead(run: TunedRun) -> str:
    """Describes the run in one sentence."""
    config, classes = run.config, len(run.facts["class_names"])
    method = METHODS[config.task].from_config(config)
    net = run.nets[method.source].net
    what = method.sentence(f"{net.family.upper()} ({net.title})" if run.sampler.has_tokens else "")
    if not run.has_prompts:
        return f"{what} in {run.step:,} updates on {classes:,} classes."
    instances = len(run.facts.get("instance_labels", ()))
    condition = cast(TransformerMethod, method).condition  # As it has prompts.
    of = _CONDITIONS[condition].format(classes=classes, instances=instances)
    return f"{what} in {run.step:,} updates, for {of}."


def about_section(
    run: TunedRun, train: Source, held_out: Source | None, seconds: float | None
) -> Node:
    """Counts, data, frozen nets, command and config.

    Args:
      run: the opened run.
      train: the training examples.
      held_out: the held-out examples, or None.
      seconds: spent in training; None if unknown.
    """
    config = _started_config(run)
    repeated = training_command(config, run.workdir)
    trained, frozen = run.sampler.counts(run.params)
    cards = {
        f"parameters trained ({trained / (trained + frozen):.2%} of all)": number(trained),
        "parameters frozen": number(frozen),
        "training images": number(len(train)),
        evaluation_name(run.config.data): number(len(held_out) if held_out else 0),
        "updates": number(run.step),
        "training time": "unknown" if seconds is None else _duration(seconds),
    }
    return section(
        "run",
        "The run",
        h("div.cards", *(h("div.card", h("b", v), h("span", k)) for k, v in cards.items())),
        h("h3", "To reproduce it"),
        command(repeated)
        if repeated
        else h("p", "No file of configs/ has this run's fields; config.json has all of them."),
        h("h3", "Nets and data"),
        _parts(run, train),
        fold(
            f"Images per class ({train.num_classes} classes)",
            _class_counts(train, held_out, evaluation_name(run.config.data)),
        ),
        fold("The whole config", _config_table(config)),
        h("p.quiet", f"Sampled with JAX {jax.__version__} on {jax.devices()[0].device_kind}."),
    )


def _started_config(run: TunedRun) -> dict[str, Any]:
    """Returns the config that a run was started with, in today's fields; nets may have moved."""
    return migrate(read_record(run.workdir)["config"])


def count(params: Any) -> int:
    """Counts the parameters in a tree."""
    return sum(x.size for x in jax.tree.leaves(params))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _parts(run: TunedRun, train: Source) -> Node:
    nets = arrival.chosen(run.config.backbone)
    return table(
        ["", "what", "from", "SHA-256"],
        [
            ["data", run.config.data.kind, train.name, _digest(run.facts["data"])],
            *(_net_row(name, net, nets[name]) for name, net in run.nets.items()),
        ],
    )


def _net_row(role: str, net: PretrainedNet, path: str) -> list:
    size = f"{type(net.net).__name__}, {count(net.params):,} parameters"
    return [role, size, path, _digest(net.digest)]


def _digest(digest: str) -> Node:
    """Shows the beginning of a digest; all of it as a tooltip."""
    return h("code", digest[:12], title=digest)


def _class_counts(train: Source, held_out: Source | None, held_out_name: str) -> Node:
    counts = [
        np.bincount(source.labels if source else np.zeros(0, int), minlength=train.num_classes)
        for source in (train, held_out)
    ]
    rows = zip(train.class_names, *counts, strict=True)
    return table(
        ["class", "training images", held_out_name],
        [[name, f"{a:,}", f"{b:,}"] for name, a, b in rows],
    )


def _config_table(config: dict[str, Any]) -> Node:
    rows = [[name, h("code", str(value))] for name, value in _fields(config)]
    return table(["field", "value"], rows)


def _fields(config: dict[str, Any], prefix: str = "config."):
    for name, value in sorted(config.items(), key=lambda item: isinstance(item[1], dict)):
        if isinstance(value, dict):
            yield from _fields(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value if value != "" else "''"
