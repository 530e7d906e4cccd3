"""The part of a protocol besides images and features: versions, devices and commit."""

import importlib.metadata
import pathlib
import platform
import subprocess
from typing import Any

import jax

import vpt_gen

_PACKAGES = ("jax", "jaxlib", "flax", "numpy", "scipy", "scikit-learn", "pillow", "tensorflow")


def environment() -> dict[str, Any]:
    """Returns versions and devices, for JSON."""
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
    """Returns the version of an installed package; '' if missing. TensorFlow's has two names."""
    for candidate in {"tensorflow": ("tensorflow", "tensorflow-cpu")}.get(name, (name,)):
        try:
            return importlib.metadata.version(candidate)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""


def _commit() -> str:
    """Returns the code's commit, with '+' if files differ from it; '' outside of git."""
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
