"""The measured programs with their inputs and the work that they must do."""

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from vpt_gen.benchmark import reference_way
from vpt_gen.benchmark.request import Request
from vpt_gen.benchmark.sizes import (
    Size,
    tokenizer_params,
    transformer_params,
)
from vpt_gen.decode.decoders import DECODERS
from vpt_gen.decode.generate import generate, tokens_to_images
from vpt_gen.methods import adaptation, prompts
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.prompt_generator import PromptGenerator
from vpt_gen.nets.transformer import MASK_TOKEN_ID
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.tables import flops
from vpt_gen.training.compute import hold_frozen
from vpt_gen.training.objectives import Objective
from vpt_gen.training.state import TrainState

NUM_CLASSES = 102
LABEL_SMOOTHING = 0.1
CHOICE_TEMPERATURE = 4.5


@dataclasses.dataclass(frozen=True)
class Program:
    """A function with its inputs.

    Attributes:
      function: to compile.
      arguments: its inputs.
      units: number of `unit` per run.
      unit: 'images' or 'tokens'.
      flops: of the products that one run needs.
      bytes: that one run must read, if reading limits it; else 0.
      carries: whether the first output replaces the first input, which is donated.
    """

    function: Callable
    arguments: tuple
    units: int
    unit: str = "images"
    flops: int = 0
    bytes: int = 0
    carries: bool = False


@dataclasses.dataclass(frozen=True)
class _Case:
    """A request, with values that all programs need."""

    size: Size
    request: Request

    @property
    def num_prompts(self) -> int:
        return self.request.num_prompt_tokens or self.size.num_prompt_tokens

    @property
    def num_tokens(self) -> int:
        return self.size.num_tokens

    # The reference implementation has only these nets (`ways`).

    @property
    def maskgit(self) -> MaskGIT:
        return cast(MaskGIT, self.size.transformer)

    @property
    def vqgan(self) -> VQGAN:
        return cast(VQGAN, self.size.tokenizer)

    def prompts(self, count: int) -> jax.Array:
        shape = (count, self.num_prompts, self.size.transformer.hidden_size)
        return jax.random.normal(jax.random.key(1), shape)

    def tokens(self) -> np.ndarray:
        shape = (self.request.batch, self.num_tokens)
        return np.random.default_rng(0).integers(self.size.transformer.codebook_size, size=shape)

    def images(self) -> jax.Array:
        side = self.size.image_size
        return jax.random.uniform(jax.random.key(2), (self.request.batch, side, side, 3))

    def held(self) -> tuple[Any, Any]:
        """Returns the transformer and its parameters on the device, as requested."""
        names = ("dtype", "remat", "scan_layers")
        compute = ConfigDict({name: getattr(self.request, name) for name in names})
        net, params = hold_frozen(self.size.transformer, transformer_params(self.size), compute)
        return net, jax.device_put(params)

    def generator(self) -> PromptGenerator:
        width = self.size.transformer.hidden_size
        return PromptGenerator(NUM_CLASSES, self.num_prompts, width)

    def tuning_flops(self) -> int:
        net = self.size.transformer
        return self.request.batch * flops.tuning_step(net, self.num_tokens, self.num_prompts)

    def forward_flops(self) -> int:
        net = self.size.transformer
        length = net.num_inputs(self.num_tokens, self.num_prompts)
        return self.request.batch * (net.layers_flops(length) + net.head_flops(self.num_tokens))


def build(size: Size, request: Request) -> Program:
    """Makes the program of a request, on any size, not only those of `sizes.SIZES`."""
    return PROGRAMS[request.what][request.way](_Case(size, request))


def _optimizer() -> optax.GradientTransformation:
    return optax.adamw(1e-3, b1=0.9, b2=0.96, weight_decay=0.0)


def _tune(case: _Case) -> Program:
    net, params = case.held()
    task = adaptation.make_task(
        prompts.make_method(case.generator()),
        net,
        Objective(net, LABEL_SMOOTHING, "cosine"),
        case.size.tokenizer,
        {"transformer": params, "tokenizer": jax.device_put(tokenizer_params(case.size))},
        _optimizer(),
        num_tokens=case.num_tokens,
        decode_options={},
    )
    batch = {"tokens": case.tokens().astype(np.uint16), "label": _labels(case)}
    state = task.init(jax.random.key(0))
    arguments = (state, task.frozen, jax.device_put(batch), jax.random.key(3))
    return Program(
        task.train_step, arguments, case.request.batch, flops=case.tuning_flops(), carries=True
    )


def _tune_by_reference(case: _Case) -> Program:
    frozen = {
        "transformer": transformer_params(case.size),
        "tokenizer": tokenizer_params(case.size),
    }
    generator, optimizer = case.generator(), _optimizer()
    step = reference_way.make_train_step(
        generator, case.maskgit, case.vqgan, frozen, optimizer, LABEL_SMOOTHING
    )
    params = generator.init(jax.random.key(0), jnp.zeros(1, jnp.int32))["params"]
    state = TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))
    batch = {"image": case.images(), "label": jnp.asarray(_labels(case))}
    arguments = (state, batch, jax.random.key(3))
    return Program(step, arguments, case.request.batch, flops=case.tuning_flops())


def _labels(case: _Case) -> np.ndarray:
    return np.arange(case.request.batch, dtype=np.int32) % NUM_CLASSES


def _gradient(case: _Case) -> Program:
    net, params = case.held()
    objective = Objective(net, LABEL_SMOOTHING, "cosine")

    def loss(prompts, params, tokens, key):
        return objective(params, tokens, key, prompts=prompts).mean()

    arguments = (case.prompts(case.request.batch), params, case.tokens(), jax.random.key(3))
    step = jax.value_and_grad(loss)
    return Program(step, arguments, case.request.batch, flops=case.tuning_flops())


def _forward(case: _Case) -> Program:
    net, params = case.held()

    def logits(params, tokens, prompts):
        return net.apply({"params": params}, tokens, prompts=prompts)

    arguments = (params, case.tokens(), case.prompts(case.request.batch))
    return Program(logits, arguments, case.request.batch, flops=case.forward_flops())


def _ids(case: _Case) -> np.ndarray:
    return np.pad(case.tokens(), ((0, 0), (1, 0)))


def _gradient_by_reference(case: _Case) -> Program:
    net, params = case.maskgit, transformer_params(case.size)
    transformer = reference_way.Transformer(net)

    def loss(prompts, ids):
        logits: Any = transformer.apply({"params": params}, ids, prompts)
        logits = logits[:, -ids.shape[1] :, : net.codebook_size]
        return reference_way.smoothed_loss(logits, ids, jnp.ones(ids.shape), LABEL_SMOOTHING)

    arguments = (case.prompts(case.request.batch), _ids(case))
    step = jax.value_and_grad(loss)
    return Program(step, arguments, case.request.batch, flops=case.tuning_flops())


def _forward_by_reference(case: _Case) -> Program:
    params = transformer_params(case.size)
    transformer = reference_way.Transformer(case.maskgit)

    def logits(ids, prompts):
        return transformer.apply({"params": params}, ids, prompts)

    arguments = (_ids(case), case.prompts(case.request.batch))
    return Program(logits, arguments, case.request.batch, flops=case.forward_flops())


def _decode_options(case: _Case) -> dict[str, Any]:
    request = case.request
    options: dict[str, Any] = {"guidance": request.guidance}
    if case.size.transformer.family == "nar":
        options["decoder"] = request.decoder
        options["choice_temperature"] = CHOICE_TEMPERATURE
        options["num_iterations"] = request.num_iterations
    return options


def _decode(case: _Case) -> Program:
    """Decodes images of one class, as when a class is sampled."""
    if case.size.transformer.family == "ar":
        return _decode_one_by_one(case)
    net, params = case.held()
    request = case.request

    def run(params, keys, prompts):
        return generate(
            net,
            params,
            keys,
            case.num_tokens,
            prompts=prompts,
            rows=jnp.zeros(len(keys), jnp.int32),
            **_decode_options(case),
        )

    arguments = (params, jax.random.split(jax.random.key(3), request.batch), case.prompts(1)[None])
    needed = flops.parallel_decoding(
        net,
        case.num_tokens,
        case.num_prompts,
        request.num_iterations,
        guided=request.guidance > 0,
        logits_once=DECODERS[request.decoder].logits_once,
    )
    return Program(run, arguments, request.batch, flops=request.batch * needed)


def _decode_by_reference(case: _Case) -> Program:
    net, request = case.maskgit, case.request
    run = reference_way.make_decode(
        net, transformer_params(case.size), request.num_iterations, CHOICE_TEMPERATURE
    )
    needed = flops.parallel_decoding(net, case.num_tokens, case.num_prompts, request.num_iterations)
    arguments = (jax.random.key(3), case.prompts(request.batch))
    return Program(run, arguments, request.batch, flops=request.batch * needed)


def _decode_one_by_one(case: _Case) -> Program:
    net, params = case.held()
    request, count = case.request, case.request.num_tokens or case.num_tokens
    keys = jax.random.split(jax.random.key(3), request.batch)

    def run(params, keys, prompts):
        rows = jnp.zeros(len(keys), jnp.int32)
        options = _decode_options(case)
        return generate(net, params, keys, count, prompts=prompts, rows=rows, **options)

    # Guided tokens have a second, unconditional sequence in the batch.
    sequences = request.batch * (2 if request.guidance else 1)
    return Program(
        run,
        (params, keys, case.prompts(1)[None]),
        request.batch * count,
        "tokens",
        flops=sequences * flops.cached_decoding(net, count, case.num_prompts),
        bytes=count * flops.bytes_a_token(params, net, sequences, case.num_prompts, count),
    )


def _edit(case: _Case) -> Program:
    """Draws the last of the tokens anew, a share `request.edited`, as `vpt_gen.edit` does."""
    net, params = case.held()
    request, count = case.request, case.num_tokens
    drawn = round(request.edited * count)

    def run(params, keys, prompts, known):
        return generate(
            net,
            params,
            keys,
            count,
            prompts=prompts,
            rows=jnp.zeros(len(keys), jnp.int32),
            known=known,
            num_unknown=drawn or None,
            prefill=count - drawn if drawn else 0,
            **_decode_options(case),
        )

    known = None
    if drawn:
        in_order = jnp.asarray(case.tokens(), jnp.int32).at[:, count - drawn :].set(MASK_TOKEN_ID)
        known = net.to_row_major(in_order)
    keys = jax.random.split(jax.random.key(3), request.batch)
    return Program(run, (params, keys, case.prompts(1)[None], known), request.batch)


def _decode_uncached(case: _Case) -> Program:
    """Decodes every token by a pass over the whole sequence at its full length."""
    net, params = case.held()
    request, count = case.request, case.request.num_tokens or case.num_tokens

    def run(params, key, prompts):
        def step(tokens, n):
            logits = net.apply({"params": params}, tokens, prompts=prompts)[:, n]
            drawn = jax.random.categorical(jax.random.fold_in(key, n), logits)
            return tokens.at[:, n].set(drawn), None

        tokens = jnp.zeros((request.batch, case.num_tokens), jnp.int32)
        return jax.lax.scan(step, tokens, jnp.arange(count))[0]

    arguments = (params, jax.random.key(3), case.prompts(request.batch))
    work = flops.cached_decoding(net, count, case.num_prompts)
    return Program(run, arguments, request.batch * count, "tokens", flops=request.batch * work)


def _tokenize(case: _Case, net=None) -> Program:
    net = net or case.size.tokenizer
    params = jax.device_put(tokenizer_params(case.size))

    def run(params, images):
        return net.apply({"params": params}, images, method="tokenize")

    arguments = (params, case.images())
    return Program(run, arguments, case.request.batch, flops=flops.count(run, *arguments))


def _detokenize(case: _Case, net=None) -> Program:
    net = net or case.size.tokenizer
    params = jax.device_put(tokenizer_params(case.size))

    def run(params, tokens):
        return tokens_to_images(net, params, tokens)

    arguments = (params, case.tokens() % case.size.tokenizer.codebook_size)
    return Program(run, arguments, case.request.batch, flops=flops.count(run, *arguments))


def _tokenize_by_reference(case: _Case) -> Program:
    return _tokenize(case, reference_way.plain(case.vqgan))


def _detokenize_by_reference(case: _Case) -> Program:
    return _detokenize(case, reference_way.plain(case.vqgan))


PROGRAMS: dict[str, dict[str, Callable[[_Case], Program]]] = {
    "tune": {"ours": _tune, "reference": _tune_by_reference},
    "gradient": {"ours": _gradient, "reference": _gradient_by_reference},
    "forward": {"ours": _forward, "reference": _forward_by_reference},
    "decode": {"ours": _decode, "reference": _decode_by_reference, "uncached": _decode_uncached},
    "edit": {"ours": _edit},
    "tokenize": {"ours": _tokenize, "reference": _tokenize_by_reference},
    "detokenize": {"ours": _detokenize, "reference": _detokenize_by_reference},
}


def ways(what: str, size: Size) -> list[str]:
    """Returns the programs to compare: the released code has only MaskGIT."""
    if isinstance(size.transformer, MaskGIT):
        return ["ours", "reference"]
    has_uncached = what == "decode" and size.transformer.family == "ar"
    return ["ours", "uncached"] if has_uncached else ["ours"]
