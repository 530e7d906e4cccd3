"""Fifty updates on every kind of mesh of eight simulated devices, compared with one device.

    python -m tests.many_meshes

Prints, for prompt tuning and for pretraining, how far the losses are from those of one device, and
the collectives of the compiled step.
"""

import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax  # noqa: E402
import numpy as np  # noqa: E402

from tests.collectives import collectives  # noqa: E402
from tests.training import test_meshes  # noqa: E402
from vpt_gen.machine import sharding

STEPS = 50


def main():
    jax.config.update("jax_default_matmul_precision", "highest")
    print(f"{'task':12}{'mesh':18}{'largest relative difference':>28}   collectives")
    tasks = {"prompts": test_meshes.prompt_task(), "pretraining": test_meshes.pretraining_task()}
    for name, task in tasks.items():
        one = test_meshes.losses(task, sharding.make_mesh(jax.devices()[:1]), STEPS)
        for shape in test_meshes.MESHES.values():
            mesh = sharding.make_mesh(shape=shape)
            found = collectives(test_meshes.compiled(task, mesh)[0].as_text())
            counts = ", ".join(f"{len(shapes)} {kind}" for kind, shapes in sorted(found.items()))
            losses = test_meshes.losses(task, mesh, STEPS)
            worst = np.max(np.abs(losses - one) / one)
            print(f"{name:12}{shape!s:18}{worst:28.1e}   {counts}")
        print(f"{'':12}the loss goes from {one[0]:.4f} to {one[-1]:.4f} in {STEPS} updates")


if __name__ == "__main__":
    main()
