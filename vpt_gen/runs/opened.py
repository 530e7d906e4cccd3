"""Opens a run of a method on disk, to generate images."""

import ast
import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.checkpoints.store import (
    Store,
    has_checkpoint,
    read_record,
)
from vpt_gen.config.check import check_config
from vpt_gen.config.fields import default_config
from vpt_gen.config.migration import as_config, migrate
from vpt_gen.errors import UserError
from vpt_gen.machine import sharding
from vpt_gen.methods import METHODS, of_source
from vpt_gen.runs.compatibility import check_backbone, check_params
from vpt_gen.runs.samples import Sampler
from vpt_gen.runs.sources import adapting
from vpt_gen.runs.token_sampler import TokenSampler


@dataclasses.dataclass(frozen=True)
class TunedRun:
    """A run that has adapted pretrained nets to new images.

    Attributes:
      workdir: its directory.
      config: of its start, with the backbone's current paths.
      facts: `class_names`, digests, and `instance_labels` if prompts have instances.
      step: number of updates of `params`.
      params: the trained parameters.
      sampler: of its method, nets and decoding options.
      nets: the pretrained nets, by their names in `config.backbone`.
    """

    workdir: str
    config: ConfigDict
    facts: dict[str, Any]
    step: int
    params: Any
    sampler: Sampler
    nets: dict[str, PretrainedNet]

    @property
    def tokenizer(self) -> PretrainedNet:
        """The tokenizer, whose features figures can use."""
        return self.nets["tokenizer"]

    @property
    def token_sampler(self) -> TokenSampler:
        """The sampler of a run that adapted a transformer."""
        return cast(TokenSampler, self.sampler)

    @property
    def has_prompts(self) -> bool:
        """Whether it trained prompts, for marquees and comparisons."""
        return self.sampler.has_prompts


def open_run(
    workdir: str,
    step: int | None = None,
    tokenizer: str = "",
    transformer: str = "",
    decode: Sequence[str] = (),
    mesh: Mesh | None = None,
) -> TunedRun:
    """Opens the checkpoint of update `step` (None: the newest).

    Args:
      workdir: of a run with a method as its task.
      step: of a checkpoint that was kept.
      tokenizer: its directory, if it has moved.
      transformer: its directory, or the BigGAN's, if it has moved.
      decode: changes of `config.decode`, such as "num_iterations=8".
      mesh: devices to generate on; None for all, with replicated nets.

    Raises:
      UserError: a missing run, checkpoint or decoding option, or other nets than it was trained
        on.
    """
    record = read_record(workdir, {"facts.class_names": list})
    given, facts = migrate(record["config"]), record["facts"]
    if given["task"] not in METHODS:
        raise UserError(
            f"{workdir} is a run of {given['task']}; generating needs a run of a method: "
            f"{', '.join(METHODS)}."
        )
    config = as_config(given)
    for setting in decode:
        set_option(config.decode, setting)
    check_config(config)
    moved = {"tokenizer": tokenizer, METHODS[config.task].source: transformer}
    config.backbone.update({name: path for name, path in moved.items() if path})
    mesh = mesh or sharding.make_mesh()
    make = adapting(config)
    nets = make.load_nets(config, mesh)
    check_backbone(facts, nets)
    sampler = make.make_sampler(config, nets, facts, mesh)
    if not has_checkpoint(workdir):
        raise UserError(f"{workdir} holds no finished checkpoint yet; train it first.")
    with contextlib.closing(Store(workdir, read_only=True)) as store:
        params = make.hold(config, sampler, store.restore_params(step))
        expected = jax.eval_shape(
            make.make_task(config, nets, facts, sampler).init, jax.random.key(0)
        )
        check_params(workdir, params, expected.params)
        # A checkpoint was restored, so one exists.
        at = cast(int, store.latest_step()) if step is None else step
    return TunedRun(workdir, config, facts, at, params, sampler, nets)


def set_option(decode: ConfigDict, setting: str) -> None:
    """Changes an option of a config's `decode`, given as "num_iterations=8".

    Raises:
      UserError: an unknown option, or a value of the wrong type.
    """
    name, _, text = setting.partition("=")
    if name not in decode:
        known = ", ".join(sorted(decode))
        gan_methods = of_source("gan")
        of_gan = name in default_config(gan_methods[0]).decode
        why = f" (it is one of {' and '.join(gan_methods)})" if of_gan else ""
        raise UserError(f"--set={setting}: decoding has no option {name!r}{why}; it has {known}.")
    kind = type(decode[name])
    try:
        value = text if kind is str else ast.literal_eval(text)
    except (SyntaxError, ValueError):
        value = None
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise UserError(f"--set={setting}: {name} must be a value like {decode[name]!r}.")
    decode[name] = value
