"""What fixes a figure besides images and features: programs, machine, and the code's commit."""

import importlib.metadata
import pathlib
import platform
import subprocess
from typing import Any

import jax

import vpt_gen

_PACKAGES = ("jax", "jaxlib", "flax", "numpy", "scipy", "scikit-learn", "pillow", "tensorflow")


def environment() -> dict[str, Any]:
    """Versions and devices, as JSON takes them."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        if found := _version(name):
            versions[name] = found
    versions["vpt_gen"] = _version("vpt_gen") or "not installed"
    if commit := _commit():
        versions["vpt_gen_commit"] = commit
    devices = jax.devices()
    return {"versions": versions, "devices": f"{len(devices)} x {devices[0].device_kind}"}


def _version(name: str) -> str:
    """Of an installed package; '' if there is none. TensorFlow's has two names."""
    for candidate in {"tensorflow": ("tensorflow", "tensorflow-cpu")}.get(name, (name,)):
        try:
            return importlib.metadata.version(candidate)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""


def _commit() -> str:
    """The commit that the code lies at, '+' behind it where files differ; '' outside of git."""
    root = pathlib.Path(vpt_gen.__file__).parents[1]
    if not (root / ".git").exists():
        return ""
    try:
        described = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--exclude=*"]
            + ["--dirty=+"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return described.stdout.strip()
