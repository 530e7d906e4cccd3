"""`python -m vpt_gen.convert --name=maskgit256_transformer`: published weights -> our checkpoint.

Published files are looked up in --weights_dir and fetched if they are missing. For your own file in
a published format, give --kind and --file.
"""

import ast
import pathlib

from absl import flags

from vpt_gen import cli
from vpt_gen.checkpoints.released import published
from vpt_gen.errors import UserError
from vpt_gen.machine import later
from vpt_gen.machine.files import check_writable
from vpt_gen.machine.progress import say

with later.imports(globals()):
    import jax

    from vpt_gen import nets
    from vpt_gen.checkpoints import released
    from vpt_gen.checkpoints.backbone import check_replaceable, save_net

FLAGS = flags.FLAGS


def parse_overrides(settings: list[str]) -> dict[str, object]:
    """Parses --set: ['num_heads=4'] -> {'num_heads': 4}."""
    overrides = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        try:
            overrides[name] = ast.literal_eval(value)
        except (SyntaxError, ValueError) as error:
            raise UserError(
                f"--set={setting} must be a field and a number, such as num_heads=4."
            ) from error
    return overrides


def convert(kind: str, source: pathlib.Path, output: str, overrides: dict, address: str) -> None:
    """Reads a published file and writes it as a net directory (checkpoints/backbone.py)."""
    config, params = released.read(kind, source, **overrides)
    net = nets.build(config)
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    about = {"kind": kind, "file": source.name, "address": address}
    digest = save_net(output, net, params, about)
    fields = ", ".join(f"{name} {_brief(config[name])}" for name in config if name != "net")
    say(f"Read {kind} {source}: {count:,} parameters; {fields}.")
    say(f"Wrote {output} (digest {digest[:12]}).")


def _brief(value: object) -> str:
    """Formats a field's value; a long one, such as the order of 256 tokens, by its length."""
    return f"of {len(value)}" if isinstance(value, tuple) and len(value) > 10 else str(value)


def define_flags() -> None:
    """Defines the flags; not at import, so that programs can share a process."""
    flags.DEFINE_enum("name", None, list(published.FILES), "Name of published weights; see --list.")
    flags.DEFINE_string("weights_dir", "weights", "Folder of published files.")
    flags.DEFINE_enum("kind", None, list(released.READERS), "Format of --file.")
    flags.DEFINE_string("file", None, "A file in a published format, instead of --name.")
    flags.DEFINE_string("output", None, "Folder to write; by default <weights_dir>/<name>.")
    flags.DEFINE_multi_string(
        "set", [], "A field that the file does not tell, such as num_heads=4 (may be repeated)."
    )
    flags.DEFINE_bool("list", False, "Only list the published weights.")


def main():
    """Runs the program; its flags are parsed."""
    if FLAGS.list:
        say(published.table())
        return
    overrides = parse_overrides(FLAGS.set)
    if bool(FLAGS.name) == bool(FLAGS.kind or FLAGS.file) or bool(FLAGS.kind) != bool(FLAGS.file):
        raise UserError("Give either --name, or both --kind and --file; --list shows the names.")
    name = FLAGS.name or pathlib.Path(FLAGS.file).stem
    output = FLAGS.output or str(pathlib.Path(FLAGS.weights_dir) / name)
    # Checked before anything is fetched or read; a net is written next to its place.
    check_writable(pathlib.Path(f"{pathlib.Path(output)}.partial", "net.json"), "--output")
    check_replaceable(output)
    if FLAGS.name:
        source = published.obtain(FLAGS.name, FLAGS.weights_dir)
        kind, address = published.FILES[FLAGS.name].kind, published.FILES[FLAGS.name].address
    else:
        source, kind, address = pathlib.Path(FLAGS.file), FLAGS.kind, ""
    convert(kind, source, output, overrides, address)


if __name__ == "__main__":
    cli.run(main, define_flags)
