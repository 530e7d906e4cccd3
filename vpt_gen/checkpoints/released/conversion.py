"""A published file -> a net directory."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax

from vpt_gen import nets
from vpt_gen.checkpoints import released
from vpt_gen.checkpoints.backbone import save_net
from vpt_gen.machine.progress import say


def convert(
    kind: str,
    source: pathlib.Path,
    output: str,
    overrides: Mapping[str, Any],
    origin: Mapping[str, str],
) -> None:
    """Reads a published file and writes it as a net directory (checkpoints/backbone.py).

    Args:
      kind: of `released.READERS`.
      source: the file.
      output: directory of the net; an older net there is replaced.
      overrides: fields that the file does not tell, see `released.read`.
      origin: for the net's record: "address" and "license" of the file, if they are known.

    Raises:
      UserError: the file is not of that kind, or `output` holds something else than a net.
    """
    config, params = released.read(kind, source, **overrides)
    net = nets.build(config)
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    about = {"kind": kind, "file": source.name, **origin}
    digest = save_net(output, net, params, about)
    fields = ", ".join(f"{name} {_brief(config[name])}" for name in config if name != "net")
    say(f"Read {kind} {source}: {count:,} parameters; {fields}.")
    say(f"Wrote {output} (digest {digest[:12]}).")


def _brief(value: object) -> str:
    """Formats a field's value; a long one, such as the order of 256 tokens, by its length."""
    return f"of {len(value)}" if isinstance(value, tuple) and len(value) > 10 else str(value)
