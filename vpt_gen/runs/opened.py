"""Opens a run of a method, or the runs of an exported file, to generate images."""

import ast
import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.checkpoints.tuned_file import CURE, StoredRun
from vpt_gen.config.check import check_config, check_decoding
from vpt_gen.config.fields import default_config
from vpt_gen.config.migration import as_config
from vpt_gen.errors import UserError
from vpt_gen.machine import sharding
from vpt_gen.methods import METHODS, of_source
from vpt_gen.runs.compatibility import check_backbone, check_params
from vpt_gen.runs.merging import MergedSampler, check_mergeable
from vpt_gen.runs.samples import Sampler
from vpt_gen.runs.sources import adapting
from vpt_gen.runs.stored import is_file, read_stored
from vpt_gen.runs.token_sampler import TokenSampler


@dataclasses.dataclass(frozen=True)
class TunedRun:
    """A run that has adapted pretrained nets to new images.

    Attributes:
      workdir: its directory, or the file or address that it was opened from.
      config: of its start, with the backbone's current paths; of the first of merged runs.
      facts: `class_names`, digests, and `instance_labels` if prompts have instances.
      step: number of updates of `params`; the most of merged runs.
      params: the trained parameters; a tuple of those of merged runs.
      sampler: of its method, nets and decoding options.
      nets: the pretrained nets, by their names in `config.backbone`.
      merged: the runs that this one consists of, if it is several.
    """

    workdir: str
    config: ConfigDict
    facts: dict[str, Any]
    step: int
    params: Any
    sampler: Sampler
    nets: dict[str, PretrainedNet]
    merged: tuple["TunedRun", ...] = ()

    @property
    def tokenizer(self) -> PretrainedNet:
        """The tokenizer, whose features figures can use."""
        return self.nets["tokenizer"]

    @property
    def token_sampler(self) -> TokenSampler:
        """The sampler of a run that adapted a transformer; of the first of merged runs."""
        return cast(TokenSampler, self.merged[0].sampler if self.merged else self.sampler)

    @property
    def has_prompts(self) -> bool:
        """Whether it trained prompts, for marquees and comparisons."""
        return self.sampler.has_prompts


def open_run(
    checkpoint: str,
    step: int | None = None,
    tokenizer: str = "",
    transformer: str = "",
    decode: Sequence[str] = (),
    mesh: Mesh | None = None,
) -> TunedRun:
    """Opens the checkpoint of update `step` (None: the newest).

    Args:
      checkpoint: the workdir of a run with a method as its task, a file of `vpt_gen.export`, or
        the address of one, `hf://<owner>/<repository>`.
      step: of a checkpoint that was kept.
      tokenizer: its directory, if it has moved.
      transformer: its directory, or the BigGAN's, if it has moved.
      decode: changes of `config.decode`, such as "num_iterations=8".
      mesh: devices to generate on; None for all of this process, with replicated nets.

    Raises:
      UserError: a missing run, checkpoint or decoding option, or other nets than it was trained
        on.
    """
    stored = read_stored(checkpoint, step)
    return open_stored(checkpoint, stored, tokenizer, transformer, decode, mesh)


def open_stored(
    name: str,
    stored: Sequence[StoredRun],
    tokenizer: str = "",
    transformer: str = "",
    decode: Sequence[str] = (),
    mesh: Mesh | None = None,
) -> TunedRun:
    """Opens a run that was read, or several as one; for the arguments see `open_run`.

    Raises:
      UserError: runs that cannot be drawn from as one, and as `open_run`.
    """
    mesh = mesh or sharding.make_mesh(jax.local_devices())
    configs = [_config(run, tokenizer, transformer, decode) for run in stored]
    check_mergeable(
        [
            dataclasses.replace(run, config=config.to_dict())
            for run, config in zip(stored, configs, strict=True)
        ]
    )
    nets = _nets(stored[0], configs[0], mesh)
    runs = [_opened(run, of, nets, mesh) for run, of in zip(stored, configs, strict=True)]
    return runs[0] if len(runs) == 1 else _as_one(name, runs)


def _config(run: StoredRun, tokenizer: str, transformer: str, decode: Sequence[str]) -> ConfigDict:
    config = as_config(run.config)
    for setting in decode:
        set_option(config.decode, setting)
    if is_file(run.source):  # Of somebody else.
        check_config(config)
    check_decoding(config)
    moved = {"tokenizer": tokenizer, METHODS[config.task].source: transformer}
    config.backbone.update({name: path for name, path in moved.items() if path})
    return config


def _nets(run: StoredRun, config: ConfigDict, mesh: Mesh) -> dict[str, PretrainedNet]:
    try:
        return adapting(config).load_nets(config, mesh)
    except UserError as error:
        if not is_file(run.source):
            raise
        raise UserError(
            f"{error} {run.source} was tuned on nets that it does not hold; if they are elsewhere, "
            "give --tokenizer and --transformer."
        ) from error


def _opened(
    run: StoredRun, config: ConfigDict, nets: dict[str, PretrainedNet], mesh: Mesh
) -> TunedRun:
    facts = dict(run.facts)
    check_backbone(facts, nets)
    make = adapting(config)
    sampler = make.make_sampler(config, nets, facts, mesh)
    of_file = is_file(run.source)
    problem = f"{run.source} does not fit its record"
    if not of_file:
        problem = f"The checkpoint in {run.source} does not fit its config.json"
    cure = CURE if of_file else "restore config.json"
    try:
        params = make.hold(config, sampler, run.params)
        task = make.make_task(config, nets, facts, sampler)
        expected = jax.eval_shape(task.init, jax.random.key(0))
    except (AssertionError, LookupError, TypeError, ValueError) as error:
        if not of_file:
            raise
        raise UserError(f"{problem}: {str(error).splitlines()[0]}; {cure}.") from error
    check_params(params, expected.params, problem, cure)
    return TunedRun(run.source, config, facts, run.step, params, sampler, nets)


def _as_one(name: str, runs: Sequence[TunedRun]) -> TunedRun:
    """Returns several runs as one, which has their classes one after the other."""
    class_names = [label for run in runs for label in run.facts["class_names"]]
    sampler = MergedSampler(
        [run.sampler for run in runs], [len(run.facts["class_names"]) for run in runs]
    )
    first, params = runs[0], tuple(run.params for run in runs)
    facts = {"class_names": class_names, **{net: of.digest for net, of in first.nets.items()}}
    step = max(run.step for run in runs)
    return TunedRun(name, first.config, facts, step, params, sampler, first.nets, tuple(runs))


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
