"""The device mesh, and how parameters, batches and activations are sharded over it.

The mesh has three axes. A batch is split over `data` and `fsdp`. Parameters are split over `fsdp`,
and a layer's are gathered where it runs, and over `tensor`, where each device computes its own
heads and hidden units; devices of one `tensor` group are adjacent, as they communicate most.

The table `PARAMETER_RULES` alone decides how a parameter is sharded; `ACTIVATION_RULES` decides it
for activations, through the names that `nets/layout.py` gives to their axes.
"""

import contextlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from vpt_gen.errors import UserError

AXES = ("data", "fsdp", "tensor")
_BATCH_AXES = ("data", "fsdp")

# A regular expression, searched in "/path/of/the/parameter[shape]" -> mesh axes of its *last*
# dimensions; those before them, of stacked layers, are not split. The first match decides.
# The path of an optimizer's moment ends in its parameter's, so that both are sharded alike.
PARAMETER_RULES: tuple[tuple[str, tuple[str | None, ...]], ...] = (
    # Prompts: small, and read by all devices in every step.
    (r"/prompt_\w+/", ()),
    # Parameters that methods add to a transformer are small too.
    (r"/class_embeddings/", ()),
    (r"/(lora|adapter|attention_adapter|mlp_adapter)/(down|up)/", ()),
    (r"/prefix/", ()),
    # Attention of MaskGIT and GPT, by heads, and their MLPs, by hidden units.
    (r"/(query|key|value)/kernel", ("fsdp", "tensor", None)),
    (r"/(query|key|value)/bias", ("tensor", None)),
    (r"/(self_attention/out|attention/(out|projection))/kernel", ("tensor", None, "fsdp")),
    (r"/(intermediate_output|mlp_in|mlp_gate)/kernel", ("fsdp", "tensor")),
    (r"/(intermediate_output|mlp_in)/bias", ("tensor",)),
    (r"/(layer_output|mlp_out)/kernel", ("tensor", "fsdp")),
    # A lookup in a split table would gather the batch: tables are not split. They are 1 or 2 % of
    # most models, and 12 % of the smallest with 16,384 codes.
    (
        r"/(word|token|position|target|time|condition|label|register|latent)_embeddings/embedding",
        (),
    ),
    (r"/modulation/linear/kernel", ("fsdp", None)),
    (r"/mlm_dense/kernel", ("fsdp", None)),
    (r"/head/kernel", ("fsdp", "tensor")),
    # Of TiTok: joins of a UViT's layers, and what is around its tokenizer's transformers.
    (r"/(skip_\d+|latents_(in|out)|hidden|code_logits|pixels_out)/kernel", ("fsdp", None)),
    # VQGANs, discriminator, LPIPS; kernels from or to three color channels are small.
    (r"/kernel\[\d+,\d+,(3,\d+|\d+,3)\]", ()),
    (r"/kernel\[\d+,\d+,\d+,\d+\]", (None, None, None, "fsdp")),
    (r"/Dense_\d/kernel", ("fsdp", None)),
    (r"/quantizer/codebook", ("fsdp", None)),
    # BigGAN's linear layers, to a first map or to gains and biases. Its tables of classes, the
    # kernel to one logit, cGANTransfer's scores and MineGAN's miner are small.
    (r"/(shared|embed|gain|bias)/embedding", ()),
    (r"/(comb_layer_[gb]|linear\d?)/kernel\[\d{1,4},\d{1,4}\]", ()),
    (r"/(linear|gain|bias|(prev_knowledge|z_layer|res)_[gb])/kernel", (None, "fsdp")),
    # Biases and norms (also of stacked layers), and other vectors and scalars.
    (r"/(scale|bias)\[|\[\d*\]", ()),
)

# Name of an activation's axis (`nets/layout.py`) -> mesh axes.
ACTIVATION_RULES: tuple[tuple[str, str | tuple[str, ...] | None], ...] = (
    ("batch", _BATCH_AXES),
    ("heads", "tensor"),
    ("hidden", "tensor"),
    ("codes", "tensor"),
)


def make_mesh(
    devices: Sequence[jax.Device] | None = None, shape: Sequence[int] = (-1, 1, 1)
) -> Mesh:
    """Makes the mesh over the given devices, by default all devices of all processes.

    Args:
      devices: to arrange in the mesh.
      shape: lengths of `AXES`; a -1 takes all remaining devices.

    Raises:
      UserError: lengths that the devices do not fit.
    """
    devices = jax.devices() if devices is None else devices
    shape = _complete(tuple(shape), len(devices))
    return jax.make_mesh(shape, AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=devices)


def _complete(shape: tuple[int, ...], num_devices: int) -> tuple[int, ...]:
    given = f"config.mesh is {dict(zip(AXES, shape, strict=True))}"
    if any(size < 1 and size != -1 for size in shape) or shape.count(-1) > 1:
        raise UserError(f"{given}: lengths must be 1 or more, or -1 (the rest) for one axis.")
    known = math.prod(size for size in shape if size != -1)
    if num_devices % known or (-1 not in shape and known != num_devices):
        raise UserError(
            f"{given}, which does not fit {num_devices} devices: the product must be "
            f"{num_devices}; leave one axis at -1 for the rest."
        )
    return tuple(num_devices // known if size == -1 else size for size in shape)


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of arrays that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def lies_as(tree: Any, sharding: NamedSharding) -> bool:
    """Whether all arrays of a pytree are on devices, in this sharding."""
    return all(
        isinstance(x, jax.Array) and x.sharding.is_equivalent_to(sharding, x.ndim)
        for x in jax.tree.leaves(tree)
    )


def split_batch(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of arrays whose first axis is the batch."""
    return NamedSharding(mesh, PartitionSpec(_BATCH_AXES))


def num_batch_parts(mesh: Mesh) -> int:
    """Returns the number of parts into which a batch is split."""
    return math.prod(mesh.shape[axis] for axis in _BATCH_AXES)


def full_batch(count: int, mesh: Mesh) -> int:
    """Returns the smallest batch of at least `count` rows that the devices share evenly."""
    parts = num_batch_parts(mesh)
    return -(-count // parts) * parts


def check_batch_size(batch_size: int, mesh: Mesh, accumulate: int = 1) -> None:
    """Raises UserError if the devices cannot share a batch, or each of its parts, evenly."""
    rows = num_batch_parts(mesh) * accumulate
    if batch_size <= 0 or batch_size % rows:
        parts = f" in {accumulate} parts (config.accumulate)" if accumulate > 1 else ""
        raise UserError(
            f"batch_size {batch_size} cannot be shared by {mesh.size} devices{parts}; "
            f"use a multiple of {rows}."
        )


def process_rows(batch_size: int, mesh: Mesh) -> np.ndarray:
    """Returns the rows of a global batch that this process's devices need, in order."""
    slices = split_batch(mesh).addressable_devices_indices_map((batch_size,)).values()
    return np.unique(np.concatenate([np.arange(batch_size)[rows] for rows in slices]))


def to_global(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """This process's rows of a batch, those of `process_rows` -> global arrays over the mesh."""
    sharding = split_batch(mesh)
    held = len(next(iter(batch.values())))
    parts = num_batch_parts(mesh)
    held_parts = len({str(x) for x in sharding.addressable_devices_indices_map((parts,)).values()})
    size = held * parts // held_parts
    rows = process_rows(size, mesh)

    def make(local: np.ndarray) -> jax.Array:
        def part(index):
            return local[np.searchsorted(rows, np.arange(size)[index[0]])]

        return jax.make_array_from_callback((size, *local.shape[1:]), sharding, part)

    return {name: make(np.asarray(local)) for name, local in batch.items()}


def share(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """A batch that every process holds whole -> global arrays over the mesh."""
    rows = process_rows(len(next(iter(batch.values()))), mesh)
    return to_global({name: whole[rows] for name, whole in batch.items()}, mesh)


def put(tree: Any, mesh: Mesh) -> Any:
    """Parameters that every process holds whole -> arrays sharded by `shardings`.

    Arrays that already are sharded so stay where they are.
    """

    def place(x, sharding: NamedSharding) -> jax.Array:
        if isinstance(x, jax.Array) and not x.is_fully_addressable:
            return jax.device_put(x, sharding)
        if isinstance(x, jax.Array) and x.sharding.is_equivalent_to(sharding, x.ndim):
            return x
        whole = np.asarray(x)
        return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])

    return jax.tree.map(place, tree, shardings(tree, mesh))


def shardings(tree: Any, mesh: Mesh | AbstractMesh) -> Any:
    """Returns a sharding for every parameter of a tree (arrays, or shapes of `jax.eval_shape`).

    Raises:
      UserError: an axis of the mesh that does not divide a parameter.
      KeyError: a parameter without a rule.
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, x: NamedSharding(mesh, _spec(path, np.shape(x), mesh)), tree
    )


def _spec(path, shape: tuple[int, ...], mesh: Mesh | AbstractMesh) -> PartitionSpec:
    name = "/" + jax.tree_util.keystr(path, simple=True, separator="/")
    described = f"{name}[{','.join(map(str, shape))}]"
    axes = next((axes for rule, axes in PARAMETER_RULES if re.search(rule, described)), None)
    if axes is None:
        raise KeyError(f"No rule in sharding.PARAMETER_RULES says how {described} is split.")
    axes = (None,) * (len(shape) - len(axes)) + axes
    for size, axis in zip(shape, axes, strict=True):
        if axis is not None and size % mesh.shape[axis]:
            raise UserError(
                f"config.mesh.{axis} is {mesh.shape[axis]}, which does not divide the {size} of "
                f"{described}: heads (for tensor) and widths must be multiples of it."
            )
    return PartitionSpec(*axes)


@contextlib.contextmanager
def use(mesh: Mesh) -> Iterator[None]:
    """Context in which programs are traced and run, so that names of activations' axes apply."""
    with jax.set_mesh(mesh), nn.logical_axis_rules(ACTIVATION_RULES):
        yield
