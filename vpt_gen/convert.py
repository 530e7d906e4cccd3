"""`python -m vpt_gen.convert --name=maskgit256`: published weights -> our checkpoints.

Training and sampling fetch and convert published weights themselves; this program does it for
machines without a network. Published files are looked up in --weights_dir and fetched if they are
missing. For your own file in a published format, give --kind and --file.
"""

import ast
import pathlib

from absl import flags

from vpt_gen import cli
from vpt_gen.checkpoints.released import published
from vpt_gen.errors import UserError
from vpt_gen.machine import later, network
from vpt_gen.machine.files import check_writable
from vpt_gen.machine.progress import say

with later.imports(globals()):
    from vpt_gen.checkpoints import released
    from vpt_gen.checkpoints.backbone import check_replaceable
    from vpt_gen.checkpoints.released.conversion import convert

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


def define_flags() -> None:
    """Defines the flags; not at import, so that programs can share a process."""
    flags.DEFINE_enum(
        "name",
        None,
        [*published.BACKBONES, *published.FILES],
        "Name of a published transformer with its tokenizer, or of one file; see --list.",
    )
    flags.DEFINE_string("weights_dir", "weights", "Folder of published files.")
    flags.DEFINE_enum("kind", None, list(released.READERS), "Format of --file.")
    flags.DEFINE_string("file", None, "A file in a published format, instead of --name.")
    flags.DEFINE_string("output", None, "Folder to write; by default <weights_dir>/<name>.")
    flags.DEFINE_multi_string(
        "set", [], "A field that the file does not tell, such as num_heads=4 (may be repeated)."
    )
    network.define_flags()
    flags.DEFINE_bool("list", False, "Only list the published weights.")


def main():
    """Runs the program; its flags are parsed."""
    if FLAGS.list:
        say(published.table())
        return
    overrides = parse_overrides(FLAGS.set)
    if bool(FLAGS.name) == bool(FLAGS.kind or FLAGS.file) or bool(FLAGS.kind) != bool(FLAGS.file):
        raise UserError("Give either --name, or both --kind and --file; --list shows the names.")
    pair = published.BACKBONES.get(FLAGS.name)
    if pair and (FLAGS.output or overrides):
        raise UserError(
            f"--name={FLAGS.name} is two files, {' and '.join(pair.files)}: convert them one by "
            "one to set --output or --set."
        )
    names = pair.files if pair else [FLAGS.name or pathlib.Path(FLAGS.file).stem]
    outputs = {name: FLAGS.output or str(pathlib.Path(FLAGS.weights_dir) / name) for name in names}
    for output in outputs.values():
        # Checked before anything is fetched or read; a net is written next to its place.
        check_writable(pathlib.Path(f"{pathlib.Path(output)}.partial", "net.json"), "--output")
        check_replaceable(output)
    for name, output in outputs.items():
        if FLAGS.name:
            source = published.obtain(name, FLAGS.weights_dir)
            kind, origin = published.FILES[name].kind, published.FILES[name].origin
        else:
            source, kind, origin = pathlib.Path(FLAGS.file), FLAGS.kind, {}
        convert(kind, source, output, overrides, origin)


if __name__ == "__main__":
    cli.run(main, define_flags)
