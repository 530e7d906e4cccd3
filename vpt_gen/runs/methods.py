"""From a config to its method, and to what draws images by it."""

from typing import Any

from jax.sharding import Mesh
from ml_collections import ConfigDict

from vpt_gen.checkpoints.backbone import PretrainedNet
from vpt_gen.methods import (
    adapters,
    class_embedding,
    deep_prompts,
    finetune,
    lora,
    norm_bias,
    prompts,
    scratch,
)
from vpt_gen.methods.method import Method
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.prompt_generator import PromptGenerator
from vpt_gen.runs.compatibility import tokens_per_image
from vpt_gen.runs.sampler import Sampler


def make_method(
    config: ConfigDict, net: MaskGIT | GPT, num_tokens: int, facts: dict[str, Any]
) -> Method:
    """The method of `config.task`.

    Args:
      config: of the run.
      net: the transformer.
      num_tokens: N, visual tokens of an image.
      facts: of the run: `class_names`, and `instance_labels` where prompts know instances.
    """
    num_classes, dtype = len(facts["class_names"]), config.compute.dtype
    match config.task:
        case "prompts":
            return prompts.make_method(_generator(config.prompt, net, facts))
        case "class_embedding":
            return class_embedding.make_method(net, num_classes)
        case "deep_prompts":
            return deep_prompts.make_method(net, num_classes, **config.deep_prompts)
        case "norm_bias":
            return norm_bias.make_method(net, num_classes)
        case "lora":
            return lora.make_method(net, num_classes, **config.lora)
        case "adapters":
            return adapters.make_method(net, num_classes, **config.adapters)
        case "finetune":
            return finetune.make_method(net, num_classes, dtype)
        case "scratch":
            return scratch.make_method(net, num_classes, num_tokens, dtype)
    raise ValueError(f"{config.task} adapts no transformer.")


def make_sampler(
    config: ConfigDict, nets: dict[str, PretrainedNet], facts: dict[str, Any], mesh: Mesh
) -> Sampler:
    """What draws images from the parameters that a run trains.

    Args:
      config: of the run, with a method as its task.
      nets: {"tokenizer": ..., "transformer": ...}, pretrained.
      facts: of the run: `class_names`, and `instance_labels` where prompts know instances.
      mesh: devices.
    """
    vqgan, backbone = nets["tokenizer"], nets["transformer"]
    num_tokens = tokens_per_image(vqgan.net, config.data.image_size)
    method = make_method(config, backbone.net, num_tokens, facts)
    return Sampler(
        method,
        backbone.net,
        vqgan.net,
        method.frozen({name: net.params for name, net in nets.items()}),
        num_tokens,
        decode_options(config),
        config.decode.batch_size,
        config.decode.tokenizer_batch_size,
        mesh,
    )


def decode_options(config: ConfigDict) -> dict[str, Any]:
    """The options of `decode.generate` from `config.decode`."""
    sizes = ("batch_size", "tokenizer_batch_size")
    return {name: value for name, value in config.decode.items() if name not in sizes}


def _generator(prompt: ConfigDict, net: MaskGIT | GPT, facts: dict[str, Any]) -> PromptGenerator:
    """The prompt generator that `config.prompt` describes."""
    projected = prompt.feature_size > 0
    return PromptGenerator(
        num_classes=len(facts["class_names"]) if "class" in prompt.condition else 0,
        num_prompt_tokens=prompt.num_prompt_tokens,
        feature_size=prompt.feature_size if projected else net.hidden_size,
        hidden_size=net.hidden_size if projected else None,
        dropout_rate=prompt.dropout_rate,
        design=prompt.design,
        num_factors=prompt.num_factors,
        num_instances=len(facts.get("instance_labels", ())),
        instance_dropout=prompt.instance_dropout,
    )
