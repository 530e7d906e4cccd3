"""Pretrained nets on disk: their parameters (Orbax), a description, and a digest of both.

One directory per net: `net.json` and `params/`. A prompt checkpoint records the digests of the nets
it was tuned on and refuses others. `net.json` also has a checksum of itself, with the net's kind;
those of older versions have none.

On a mesh, parameters are read directly to their devices: no host and no device ever holds more of a
net than its share and one array.
"""

import dataclasses
import hashlib
import json
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from flax import traverse_util
from jax.sharding import Mesh

import vpt_gen
from vpt_gen.checkpoints import shipped
from vpt_gen.checkpoints.reading import UnreadableError, attempt, quiet
from vpt_gen.errors import UserError
from vpt_gen.machine import distributed, json_files, lock, sharding
from vpt_gen.machine.files import json_text, move_folder
from vpt_gen.nets import NETS, build, name_of, tokenizers
from vpt_gen.nets.biggan import BigGAN
from vpt_gen.nets.transformer import OPTIONS

TOKENIZERS = tokenizers()
_LARGE = 2**27  # bytes
# Bytes of parameters that are read together to check them; each reading takes 10 ms besides.
_PART = 2**26
_KINDS: dict[str, json_files.Kind] = {"kind": str, "fields": dict, "digest": str, "about": dict}


@dataclasses.dataclass(frozen=True)
class PretrainedNet:
    """A net with its parameters.

    Attributes:
      net: the Flax module, or a `BigGAN`, depending on the kind.
      params: its parameters, read as float32; on a mesh or as numpy arrays.
      digest: SHA-256 of the net's fields and its parameters as stored on disk.
      about: its origin: source data, class names, figures.
      path: its directory.
    """

    net: Any
    params: Any
    digest: str
    about: Mapping[str, Any]
    path: pathlib.Path | None = None

    @property
    def tokens_digest(self) -> str:
        """Digest that a tokenizer shares with the one whose tokens it keeps.

        A second stage of training may train the decoder alone (`config.losses.keep_tokens`): token
        caches and transformers in training stay of use.
        """
        return str(self.about.get("tokens_of", self.digest))


def save_net(
    path: str,
    net: nn.Module | BigGAN,
    params: Any,
    about: Mapping[str, Any],
    dtype: Any = jnp.float32,
) -> str:
    """Writes a net and returns its digest; replaces an older one at `path`.

    Only one of several processes calls this. If another program writes a net there, it waits.

    Args:
      path: directory of the net.
      net: one of `nets.NETS`.
      params: its parameters.
      about: a JSON-serializable record.
      dtype: floating type on disk; float16 halves the size of what is shipped.

    Raises:
      UserError: `path` exists and is not a net.
    """
    with lock.held(path, "path", beside=True, wait=True):
        return _save(path, net, params, about, dtype)


def _save(
    path: str, net: nn.Module | BigGAN, params: Any, about: Mapping[str, Any], dtype: Any
) -> str:
    """Like `save_net`, where no other program writes."""
    check_replaceable(path)
    directory = pathlib.Path(path).absolute()
    params = jax.tree.map(lambda x: np.asarray(x, dtype), params)
    fields = _fields(net)
    digest = digest_of_params(fields, params)
    record = {"kind": name_of(net), "fields": fields, "digest": digest, "about": dict(about)}
    record["checksum"] = _checksum(record)
    partial = directory.with_name(directory.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with quiet(), _alone(use_ocdbt=_fits_few_files(params)) as checkpointer:
            checkpointer.save(partial / "params", args=ocp.args.PyTreeSave(params))
        # Orbax writes this machine's path into it and reads it on object stores only.
        (partial / "params" / "commit_success.txt").unlink(missing_ok=True)
        (partial / "net.json").write_text(json_text(record))
        move_folder(partial, directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return digest


def check_replaceable(path: str) -> None:
    """Raises UserError if a net would replace something that is not a net, or more than one."""
    directory = pathlib.Path(path)
    if not directory.exists():
        return
    names = {child.name for child in directory.iterdir()} if directory.is_dir() else {path}
    if names and "net.json" not in names:
        raise UserError(f"{path} exists and holds no net, so it is not replaced; use another path.")
    if names and not _is_record(directory / "net.json"):
        raise UserError(
            f"{directory / 'net.json'} is damaged, or not the record of a net, so {path} is not "
            "replaced; delete it, or use another path."
        )
    if others := sorted(names - {"net.json", "params"}):
        raise UserError(
            f"{path} holds {others[0]} in addition to a net, so it is not replaced; move that "
            "elsewhere, or use another path."
        )


def _is_record(path: pathlib.Path) -> bool:
    """Whether a file is the record of a net, not only called like one."""
    try:
        record = json_files.read_object(path, "", {"kind": str, "digest": str})
    except json_files.DamagedFileError:
        return False
    return record["kind"] in NETS and bool(record["digest"])


def net_folder(path: str) -> pathlib.Path:
    """Returns the absolute path of a net; shipped ones are found from any working directory."""
    directory = pathlib.Path(path)
    if not directory.is_absolute() and not directory.exists():
        directory = pathlib.Path(vpt_gen.__file__).parents[1] / path
    return directory.absolute()


def load_net(path: str, *kinds: str, mesh: Mesh | None = None) -> PretrainedNet:
    """Reads a net and checks it against its digest; all processes call this together.

    Args:
      path: directory that `save_net` wrote.
      kinds: keys of `nets.NETS`, of which the net is expected to be one.
      mesh: devices to read the parameters to, each its part; None for numpy arrays.

    Raises:
      UserError: no net at `path`, one of another kind, or a damaged one.
    """
    directory = net_folder(path)
    record_file = directory / "net.json"
    if not record_file.is_file():
        raise _missing(str(path), kinds)
    cure = _cure(str(path), kinds)
    record = _read_record(record_file, cure)
    if record["kind"] not in kinds:
        raise UserError(
            f"{path} holds a {record['kind']}, but a {' or '.join(kinds)} is needed here."
        )
    net = _built(record_file, record, cure)
    try:
        params = _read(directory, record) if mesh is None else _read_onto(directory, record, mesh)
    except UnreadableError as error:
        raise UserError(f"{path} is damaged ({error}); {cure}.") from error
    return PretrainedNet(net, params, record["digest"], record["about"], directory)


def _missing(path: str, kinds: tuple[str, ...]) -> UserError:
    for folder, commit in shipped.GONE.items():
        if pathlib.PurePath(path).parent.match(folder):
            return UserError(
                f"The {pathlib.PurePath(folder).name} source no longer ships, so {path!r} is "
                f"missing: get it from the last commit that has it, with `git checkout {commit} -- "
                f"{folder}` in a full clone, or tune anew with configs/folder.py."
            )
    command = _command_for(path, kinds)
    cure = f"make it with `{command}`, or check the path" if command else "check the path"
    return UserError(f"{path!r} holds no pretrained {kinds[0]} (no net.json); {cure}.")


def _cure(path: str, kinds: tuple[str, ...]) -> str:
    """Returns what to do about a damaged net."""
    command = _command_for(path, kinds)
    again = f" with `{command}`" if command else ""
    return f"delete the directory and make the net again{again}, or use an intact copy"


def _command_for(path: str, kinds: tuple[str, ...]) -> str:
    # Imported for messages only: it needs the modules that fetch files.
    from vpt_gen.checkpoints.origins import command_for

    return command_for(path, kinds)


def _read_record(path: pathlib.Path, cure: str) -> dict[str, Any]:
    record = json_files.read_object(path, cure, _KINDS)
    if record.get("checksum") not in (None, _checksum(record)):
        raise json_files.DamagedFileError(path, "it does not match its digest", cure)
    return record


def _checksum(record: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of a record without its checksum, as JSON reads it back."""
    rest = {name: value for name, value in record.items() if name != "checksum"}
    text = json.dumps(json.loads(json.dumps(rest)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _built(path: pathlib.Path, record: Mapping[str, Any], cure: str) -> Any:
    try:
        return build({"net": record["kind"], **record["fields"]})
    except (KeyError, TypeError, ValueError) as error:
        fault = f"it describes no {record['kind']}: {error}"
        raise json_files.DamagedFileError(path, fault, cure) from error


def _read(directory: pathlib.Path, record: Mapping[str, Any]) -> Any:
    """Reads the parameters as numpy arrays; raises UnreadableError if they are damaged."""

    def restore():
        with _alone() as checkpointer:
            args = ocp.args.PyTreeRestore(_stored_params(directory))
            return checkpointer.restore(directory / "params", args=args)

    stored = attempt(restore)
    _check_digest(record, digest_of_params(record["fields"], stored))
    return jax.tree.map(lambda x: np.asarray(x, np.float32), stored)


def _read_onto(directory: pathlib.Path, record: Mapping[str, Any], mesh: Mesh) -> Any:
    """Reads the parameters to a mesh; raises UnreadableError if they are damaged."""
    # One process reads all files once, for the digest; then each process reads its part.
    fault = _fault(directory, record) if distributed.is_first() else ""
    if not distributed.all_agree(not fault):
        raise UnreadableError(fault or "the first process cannot read it")

    def restore():
        stored = _stored_params(directory)
        targets = jax.tree.map(
            lambda x, place: jax.ShapeDtypeStruct(x.shape, jnp.float32, sharding=place),
            stored,
            sharding.shardings(stored, mesh),
        )
        with ocp.StandardCheckpointer() as checkpointer:
            return checkpointer.restore(directory / "params", targets)

    return attempt(restore)


def _fault(directory: pathlib.Path, record: Mapping[str, Any]) -> str:
    """Returns what is wrong with the parameters, or ''."""
    try:
        found = attempt(lambda: _digest(record["fields"], _read_in_parts(directory)))
        _check_digest(record, found)
    except UnreadableError as error:
        return str(error)
    return ""


def _check_digest(record: Mapping[str, Any], found: str) -> None:
    if found != record["digest"]:
        raise UnreadableError("it does not match its digest")


def _read_in_parts(directory: pathlib.Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yields path and stored value of every parameter, sorted by path, and holds few at a time."""
    flat = traverse_util.flatten_dict(_stored_params(directory))
    with _alone() as checkpointer:
        for paths in _parts({path: flat[path].nbytes for path in sorted(flat, key=_keystr)}):
            templates = traverse_util.unflatten_dict({path: flat[path] for path in paths})
            part = ocp.args.PyTreeRestore(templates, partial_restore=True)
            found = traverse_util.flatten_dict(
                checkpointer.restore(directory / "params", args=part)
            )
            yield from ((_keystr(path), found[path]) for path in paths)


def _parts(num_bytes: Mapping[tuple[str, ...], int]) -> Iterator[list[tuple[str, ...]]]:
    """Yields paths, in their order, as many together as have `_PART` bytes, and at least one."""
    part: list[tuple[str, ...]] = []
    size = 0
    for path, more in num_bytes.items():
        if part and size + more > _PART:
            yield part
            part, size = [], 0
        part.append(path)
        size += more
    if part:
        yield part


def _keystr(path: tuple[str, ...]) -> str:
    return jax.tree_util.keystr(tuple(map(jax.tree_util.DictKey, path)))


def digest_of_params(fields: Mapping[str, Any], params: Any) -> str:
    """Returns the SHA-256 of a net's fields and every parameter's path, shape, type and bytes."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return _digest(fields, sorted((jax.tree_util.keystr(p), v) for p, v in leaves))


def _digest(fields: Mapping[str, Any], leaves: Iterable[tuple[str, Any]]) -> str:
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode())
    for path, value in leaves:
        value = np.asarray(value)
        digest.update(f"{path}{value.shape}{value.dtype}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def _alone(**handling: Any) -> ocp.Checkpointer:
    """Makes an Orbax checkpointer of this process alone, for whole arrays."""
    process = jax.process_index()
    options = ocp.options.MultiprocessingOptions(
        primary_host=process, active_processes={process}, barrier_sync_key_prefix=f"alone{process}"
    )
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=options, **handling)
    return ocp.Checkpointer(handler, multiprocessing_options=options)


def _fits_few_files(params: Any) -> bool:
    """Whether Orbax writes a few files (OCDBT) instead of one per array.

    OCDBT holds another two copies of the parameters in memory until all is written.
    """
    return sum(leaf.nbytes for leaf in jax.tree.leaves(params)) < _LARGE


def _fields(net: nn.Module | BigGAN) -> dict[str, Any]:
    """Returns a module's fields as JSON reads them back, without options of the computation."""
    others = ("parent", "name", *OPTIONS)
    names = [f.name for f in dataclasses.fields(net) if f.name not in others]
    return json.loads(json.dumps({name: getattr(net, name) for name in names}))


def _stored_params(directory: pathlib.Path) -> Any:
    """Returns the stored tree as numpy templates, independent of the devices that saved it."""
    with ocp.StandardCheckpointer() as checkpointer:
        metadata = checkpointer.metadata(directory / "params").item_metadata
    if metadata is None:
        raise UnreadableError("params/ is missing or damaged")
    return jax.tree.map(lambda m: np.empty(m.shape, m.dtype), metadata.tree)
