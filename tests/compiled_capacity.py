"""`python -m tests.compiled_capacity`: the formulas of tables/costs.py against XLA's counts.

Compiles, and never runs, tuning steps and decoders at full width on as many simulated CPU devices
as a slice has chips: for FLOPs at depths 1 to 3, as they are linear in it; for memory at full
depth, with the layers in one loop. All is in float32, because XLA on a CPU makes float32 copies of
bfloat16 arrays. About ten minutes on two cores.
"""

import argparse
import dataclasses
import itertools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import optax

from tests.collectives import collectives
from vpt_gen.decode.generate import generate
from vpt_gen.machine import sharding
from vpt_gen.methods import adaptation, prompts
from vpt_gen.nets.prompt_generator import PromptGenerator
from vpt_gen.nets.stack import stack_layers
from vpt_gen.nets.vqgan import VQGAN
from vpt_gen.tables import costs
from vpt_gen.training.objectives import Objective

FLOAT32 = 4


@dataclasses.dataclass(frozen=True)
class Counts:
    """What XLA says of a chip's part of a compiled program: FLOPs, and bytes of its memory.

    Attributes:
      flops: of a loop those of one round.
      arguments: the weights, beside little else.
      work: what it needs besides.
      collectives: see `tests/collectives.py`.
    """

    flops: float
    arguments: int
    work: int
    collectives: dict[str, list]


def of_depth(model: costs.Model, num_layers: int, remat: str = "none") -> costs.Model:
    """The model with so many layers."""
    net = model.net.clone(num_layers=num_layers, remat=remat)
    return dataclasses.replace(model, net=net)


def _shapes(tree, shardings):
    return jax.tree.map(
        lambda x, where: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), tree, shardings
    )


def _frozen(model: costs.Model, mesh, stacked: bool):
    params = costs.param_shapes(model.net)
    if stacked:
        params = jax.eval_shape(lambda p: stack_layers(p, model.net.layer_prefix), params)
    return _shapes(params, sharding.shardings(params, mesh))


def _counts(mesh, function, *arguments) -> Counts:
    with sharding.use(mesh):
        compiled = jax.jit(function).lower(*arguments).compile()
    memory = compiled.memory_analysis()
    return Counts(
        compiled.cost_analysis()["flops"],
        memory.argument_size_in_bytes,
        memory.temp_size_in_bytes,
        collectives(compiled.as_text()),
    )


def tuning_step(model: costs.Model, mesh, images: int, stacked: bool, accumulate: int = 1):
    """A tuning step on `images` for each part of the batch, and the shapes of its arguments."""
    net = model.net
    task = adaptation.make_task(
        prompts.make_method(PromptGenerator(10, model.num_prompt_tokens, net.hidden_size)),
        net,
        Objective(net, 0.1, "cosine"),
        VQGAN(),
        {"transformer": {}, "tokenizer": {}},
        optax.adam(1e-3),
        num_tokens=model.num_tokens,
        decode_options={},
        accumulate=accumulate,
    )
    transformer = _frozen(model, mesh, stacked)
    state = jax.eval_shape(task.init, jax.random.key(0))
    state = _shapes(state, sharding.shardings(state, mesh))
    rows = sharding.num_batch_parts(mesh) * images
    by_batch = sharding.split_batch(mesh)
    batch = {
        "tokens": jax.ShapeDtypeStruct((rows, model.num_tokens), jnp.uint16, sharding=by_batch),
        "label": jax.ShapeDtypeStruct((rows,), jnp.int32, sharding=by_batch),
    }
    frozen = {"transformer": transformer, "tokenizer": {}}
    return task.train_step, state, frozen, batch, jax.random.key(0)


def tuning(model: costs.Model, mesh, images: int, stacked: bool) -> Counts:
    """What `tuning_step` counts."""
    return _counts(mesh, *tuning_step(model, mesh, images, stacked))


def decoding(model: costs.Model, mesh, images: int, stacked: bool) -> Counts:
    """Decoding of `images` for each part of the batch."""
    transformer = _frozen(model, mesh, stacked)
    rows = sharding.num_batch_parts(mesh) * images
    by_batch = sharding.split_batch(mesh)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), rows))
    keys = jax.ShapeDtypeStruct(keys.shape, keys.dtype, sharding=by_batch)
    shape = (1, rows, model.num_prompt_tokens, model.net.hidden_size)
    given = jax.ShapeDtypeStruct(
        shape, jnp.float32, sharding=jax.NamedSharding(mesh, jax.P(None, *by_batch.spec))
    )
    options = {} if model.autoregressive else {"num_iterations": model.num_iterations}

    def decode(params, keys, prompts):
        return generate(model.net, params, keys, model.num_tokens, prompts=prompts, **options)[0]

    return _counts(mesh, decode, transformer, keys, given)


# Chips -> meshes (data, fsdp, tensor).
MESHES = {
    4: ((4, 1, 1), (1, 4, 1), (1, 1, 4)),
    16: ((16, 1, 1), (1, 16, 1), (4, 2, 2)),
    64: ((64, 1, 1), (8, 4, 2)),
}


def flops_of_layers(model: costs.Model, mesh, program, depth: int = 3) -> list[float]:
    """Counted FLOPs that the 2nd layer, up to that of `depth`, add to one image on a chip."""
    counts = [program(of_depth(model, n + 1), mesh, 1, stacked=False).flops for n in range(depth)]
    return [more - less for less, more in itertools.pairwise(counts)]


def formula_of_a_layer(model: costs.Model, program) -> float:
    """What the formulas say of that, on one chip; of a decoder's loop, one round counts."""
    layer = model.net.clone(num_layers=1)
    if program is tuning:
        return layer.layers_flops(model.length, backward=True)
    if not model.autoregressive:
        return layer.layers_flops(model.length)
    # The prefix, and a token that looks at a cache of fixed length.
    token = 2 * layer.layer_parameters + 4 * model.length * layer.hidden_size
    return layer.layers_flops(model.num_prompt_tokens) + token


def compare_flops(chips: int) -> None:
    print(
        "chips (data, fsdp, tensor)  program   model         GFLOPs of layers 2, 3  formula  ratio"
    )
    for shape in MESHES[chips]:
        mesh = sharding.make_mesh(shape=shape)
        for program in (tuning, decoding):
            for name, model in costs.MODELS.items():
                second, third = flops_of_layers(model, mesh, program)
                formula = formula_of_a_layer(model, program) / shape[2]
                print(
                    f"{chips:5} {shape!s:20}  {program.__name__:9} {name:13} {second / 1e9:11.2f} "
                    f"{third / 1e9:11.2f} {formula / 1e9:8.2f} {second / formula:6.3f}",
                    flush=True,
                )


def compare_memory(chips: int) -> None:
    """At full depth, layers in one loop; memory along `data` depends on no other chip."""
    print("chips  program   model         remat  images  MB of work, counted  formula  ratio")
    mesh = sharding.make_mesh(shape=(chips, 1, 1))
    for name, model in costs.MODELS.items():
        cases = [(tuning, remat) for remat in ("none", "dots", "layer")] + [(decoding, "none")]
        for program, remat in cases:
            for images in (1, 4):
                net = of_depth(model, model.net.num_layers, remat)
                counted = program(net, mesh, images, stacked=True).work
                formula = images * (
                    costs.tuning_bytes(net, remat, FLOAT32)
                    if program is tuning
                    else costs.decoding_bytes(net, FLOAT32)
                )
                formula += FLOAT32 * net.net.layer_parameters
                print(
                    f"{chips:5}  {program.__name__:9} {name:13} {remat:6} {images:6} "
                    f"{counted / 1e6:20,.0f} {formula / 1e6:8,.0f} {counted / formula:6.3f}",
                    flush=True,
                )


def compare_accumulation(images: int = 32) -> None:
    """A step on `images` of MaskGIT-256 in one to `images` parts, on one device."""
    print(f"accumulate  MB of work of a step on {images} images  of that in one part")
    mesh = sharding.make_mesh(jax.devices()[:1])
    model = costs.MODELS["MaskGIT-256"]
    whole = None
    for accumulate in (1, 2, 4, 8, images):
        step = tuning_step(model, mesh, images, stacked=True, accumulate=accumulate)
        work = _counts(mesh, *step).work
        whole = whole or work
        print(f"{accumulate:10}  {work / 1e6:32,.0f}  {work / whole:19.3f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chips", type=int, choices=MESHES, help="of one slice alone")
    parser.add_argument("--accumulate", action="store_true", help="only what parts of a batch save")
    options = parser.parse_args()
    if options.accumulate:
        compare_accumulation()
        return
    if options.chips is None:
        for chips in MESHES:
            flags = f"--xla_force_host_platform_device_count={chips}"
            environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
            command = [sys.executable, "-m", "tests.compiled_capacity", f"--chips={chips}"]
            subprocess.run(command, env=environment, check=True)
        return
    compare_flops(options.chips)
    compare_memory(options.chips)


if __name__ == "__main__":
    main()
