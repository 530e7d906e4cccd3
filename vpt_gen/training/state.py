"""The training state, and what a task passes to the loop."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax
import jax
import optax
from jax.sharding import Mesh
from jax.tree_util import Partial

from vpt_gen.machine import sharding

Params = Any
Metrics = Mapping[str, jax.Array]
Batch = Mapping[str, jax.Array]


class TrainState(flax.struct.PyTreeNode):
    """Everything that training changes and a checkpoint must hold to resume.

    Attributes:
      step: int32, updates done.
      params: trained parameters only, never a frozen backbone.
      opt_state: the optimizer's state for `params`.
    """

    step: jax.Array
    params: Params
    opt_state: Any


@dataclasses.dataclass(frozen=True)
class Task:
    """A training task, as pure functions; `frozen` is an ordinary argument of each.

    Attributes:
      init: key -> TrainState; a `Partial` if it starts from parameters.
      train_step: (state, frozen, batch, key) -> (next state, scalar metrics).
      eval_step: (params, frozen, batch, key) -> metrics (B,), one value per example.
      pictures: (params, frozen, batch, key) -> {name: images (n, H, W, 3) in [0, 1]}.
      frozen: parameters that are used but not trained; an empty dict if there are none.
    """

    init: Callable[[jax.Array], TrainState]
    train_step: Callable[..., tuple[TrainState, Metrics]]
    eval_step: Callable[..., Metrics]
    pictures: Callable[..., Mapping[str, jax.Array]]
    frozen: Params


def apply_gradients(
    state: TrainState,
    gradients: Params,
    optimizer: optax.GradientTransformation,
    in_turn: Callable[[jax.Array, Params], Params] | None = None,
) -> TrainState:
    """Updates `state.params` by the optimizer.

    Args:
      state: before the update.
      gradients: of all of its parameters.
      optimizer: that made its `opt_state`.
      in_turn: (updates done, updates) -> updates, 0 for what does not train yet; None if all does.
    """
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    if in_turn is not None:  # Weight decay is no gradient.
        updates = in_turn(state.step, updates)
    return state.replace(
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        opt_state=opt_state,
    )


def keys(seed: int) -> jax.Array:
    """Returns the keys of initialization, training and evaluation."""
    return jax.random.split(jax.random.key(seed), 3)


def as_partial(function: Callable[..., Any]) -> Partial:
    """Wraps a function as an argument of compiled ones; a `Partial`'s parameters become arguments.

    Wrapping a `Partial` in `Partial` would make its parameters constants of the program.
    """
    return function if isinstance(function, Partial) else Partial(function)


# XLA optimizes random arrays for CPUs much longer than drawing takes (the initial state of a small
# tokenizer took 17 s, and takes 4). The numbers are the same.
_QUICKLY_COMPILED = {"xla_backend_optimization_level": 1, "xla_llvm_disable_expensive_passes": True}


def _options_of_one_run(mesh: Mesh) -> dict[str, Any] | None:
    """Returns how XLA compiles a program that runs once; None: as JAX is told for all programs."""
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    already_quick = jax.config.read("jax_disable_most_optimizations")
    return _QUICKLY_COMPILED if on_cpu and not already_quick else None


def initial_state(task: Task, seed: int, mesh: Mesh) -> TrainState:
    """Returns the initial state, created on the mesh and never whole on one device."""
    key, init = keys(seed)[0], as_partial(task.init)
    shardings = sharding.shardings(jax.eval_shape(task.init, key), mesh)
    with sharding.use(mesh):
        # A Partial is an argument, and so are its parameters.
        create = jax.jit(
            lambda init, key: init(key),
            out_shardings=shardings,
            compiler_options=_options_of_one_run(mesh),
        )
        return create(init, key)
