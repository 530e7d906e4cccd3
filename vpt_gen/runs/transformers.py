"""Runs that adapt a transformer: their nets, task, batches and sampler, from a config."""

from typing import Any, cast

from jax.sharding import Mesh
from ml_collections import ConfigDict

from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.data.batches import Batches, cache_root, token_batches
from vpt_gen.data.source import Source
from vpt_gen.data.tokens.cache import TokenCache
from vpt_gen.errors import UserError
from vpt_gen.machine import sharding
from vpt_gen.methods import METHODS, adaptation
from vpt_gen.methods.method import Method
from vpt_gen.methods.record import Target, TransformerMethod
from vpt_gen.nets.transformer import TokenTransformer
from vpt_gen.runs import prior
from vpt_gen.runs.compatibility import load_tokenizer_and_transformer, tokens_per_image
from vpt_gen.runs.token_sampler import TokenSampler
from vpt_gen.training.compute import hold_trained
from vpt_gen.training.objectives import Objective
from vpt_gen.training.optimizers import make_optimizer
from vpt_gen.training.state import Task

Nets = dict[str, PretrainedNet]

load_nets = load_tokenizer_and_transformer


def make_facts(config: ConfigDict, train: Source, held_out: Source | None) -> dict[str, Any]:
    """Returns facts about the data that sampling needs.

    Raises:
      UserError: images are held out, but prompts have instances.
    """
    facts: dict[str, Any] = {"class_names": list(train.class_names)}
    condition = _method(config).condition
    if condition == "instance" and held_out is not None:
        raise UserError(
            "Prompts of instances exist for training images only, so none can be held out: set "
            "config.data.holdout to 0 (and config.data.eval_split to '')."
        )
    if "instance" in condition:
        facts["instance_labels"] = train.labels.tolist()
    return facts


def make_sampler(config: ConfigDict, nets: Nets, facts: dict[str, Any], mesh: Mesh) -> TokenSampler:
    """Makes the sampler of a run's trained parameters.

    Args:
      config: of the run.
      nets: {"tokenizer": ..., "transformer": ...}, pretrained.
      facts: of the run: `class_names`, and `instance_labels` if prompts have instances.
      mesh: devices.
    """
    vqgan, backbone = nets["tokenizer"], nets["transformer"]
    num_tokens = tokens_per_image(vqgan.net, config.data.image_size)
    record = _method(config)
    net = record.prepared(backbone.net)
    target = Target(
        net,
        num_tokens,
        len(facts["class_names"]),
        len(facts.get("instance_labels", ())),
        config.compute.dtype,
    )
    return _sampler_of(record.adapt(target), net, config, nets, mesh)


def _sampler_of(
    method: Method, net: TokenTransformer, config: ConfigDict, nets: Nets, mesh: Mesh
) -> TokenSampler:
    options, tokenizer = decode_options(config), nets["tokenizer"].net
    return TokenSampler(
        method,
        net,
        tokenizer,
        method.frozen({name: net.params for name, net in nets.items()}, options),
        tokens_per_image(tokenizer, config.data.image_size),
        options,
        config.decode.batch_size,
        config.decode.tokenizer_batch_size,
        mesh,
    )


def make_task(config: ConfigDict, nets: Nets, facts: dict[str, Any], sampler: TokenSampler) -> Task:
    """Makes the task that trains the method's parameters."""
    del facts
    net = sampler.transformer
    objective = Objective(
        net, config.label_smoothing, config.get("mask_schedule"), config.distilled_guidance
    )
    return adaptation.make_task(
        sampler.method,
        net,
        objective,
        nets["tokenizer"].net,
        {name: pretrained.params for name, pretrained in nets.items()},
        make_optimizer(config.optimizer, config.num_steps),
        num_tokens=sampler.num_tokens,
        decode_options=sampler.options,
        accumulate=config.accumulate,
        prior_weight=config.prior.weight,
    )


def make_batches(
    config: ConfigDict,
    workdir: str,
    mesh: Mesh,
    train: Source,
    held_out: Source | None,
    nets: Nets,
) -> Batches:
    """Makes batches of visual tokens, see `token_batches`, and of the source's (`prior.py`)."""
    batches = token_batches(config, workdir, mesh, train, held_out, nets["tokenizer"])
    if not config.prior.weight:
        return batches
    source, root = nets["transformer"], cache_root(config, workdir)
    method = prior.unchanged(source)

    def tokens() -> TokenCache:
        sampler = _sampler_of(method, source.net, config, nets, mesh)
        return prior.drawn_tokens(config, root, source, sampler)

    rows = sharding.process_rows(config.batch_size, mesh)
    return prior.with_prior(batches, tokens, config, rows)


def hold(config: ConfigDict, sampler: TokenSampler, params: Any) -> Any:
    """Converts a run's stored parameters to the layout of the sampler's net."""
    return hold_trained(sampler.transformer, params, config.compute)


def _method(config: ConfigDict) -> TransformerMethod:
    return cast(TransformerMethod, METHODS[config.task].from_config(config))


def decode_options(config: ConfigDict) -> dict[str, Any]:
    """Returns the options of `decode.generate` from `config.decode`."""
    sizes = ("batch_size", "tokenizer_batch_size")
    return {name: value for name, value in config.decode.items() if name not in sizes}
