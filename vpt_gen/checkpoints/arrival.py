"""Published nets arrive by themselves: fetched and converted once, for all runs of a machine.

A net is looked up in `weights/`, where `vpt_gen.convert` writes, then in `weights/` of the cache
folder ($VPT_GEN_CACHE), where it arrives if it is in neither.
"""

import pathlib
import shutil
import urllib.parse
from collections.abc import Mapping, Sequence

from vpt_gen.checkpoints.released.conversion import convert
from vpt_gen.checkpoints.released.published import BACKBONES, FILES, obtain
from vpt_gen.errors import UserError
from vpt_gen.machine import distributed, lock, network
from vpt_gen.machine.files import cache_folder
from vpt_gen.machine.progress import say

OWN = pathlib.Path("weights")


def folder() -> pathlib.Path:
    """Returns the folder in which published nets arrive."""
    return cache_folder() / "weights"


def chosen(backbone: Mapping[str, str]) -> dict[str, str]:
    """Returns what a config's `backbone` chooses for each net: a directory, or a key of `FILES`.

    Args:
      backbone: "tokenizer", and "transformer" or "gan", as directories or keys of `FILES`; and
        "name", a key of `BACKBONES`, for those that are ''.
    """
    pair = BACKBONES.get(backbone.get("name", ""))
    return {
        part: value or getattr(pair, part, "") for part, value in backbone.items() if part != "name"
    }


def directories(backbone: Mapping[str, str]) -> dict[str, str]:
    """Returns the directory of each net of a config's `backbone`; missing published nets arrive.

    All processes of a run call this together: the first one fetches, the others wait.

    Raises:
      UnreachableError: a missing published net, and no network or --offline.
      UserError: not enough space, a file that is not the published one, or a cache folder that
        hosts do not share.
    """
    nets = chosen(backbone)
    distributed.first_does(lambda: _bring_missing(nets))
    missing = _missing(nets)
    if not distributed.all_agree(not missing):
        lacking = " and ".join(missing) or "a net"
        raise UserError(
            f"A host of the run lacks {lacking}, which process 0 has in {folder()} or {OWN}: set "
            "VPT_GEN_CACHE to a folder that all hosts share, or copy the nets to each."
        )
    return {part: str(_find(net)) for part, net in nets.items()}


def directory(net: str) -> str:
    """Returns the directory of a net, given as itself or as a key of `FILES`; see `directories`."""
    return directories({"net": net})["net"]


def _bring_missing(nets: Mapping[str, str]) -> None:
    if _missing(nets):
        with lock.held(folder(), "$VPT_GEN_CACHE", wait=True):
            if missing := _missing(nets):  # Another program may have brought them meanwhile.
                _bring(missing)


def _missing(nets: Mapping[str, str]) -> list[str]:
    return [net for net in nets.values() if _find(net) is None]


def _find(net: str) -> pathlib.Path | str | None:
    """Returns the directory of a net; None if it is a published one that is on no disk here."""
    if net not in FILES:
        return net
    places = (pathlib.Path(net), OWN / net, folder() / net)
    return next((place for place in places if (place / "net.json").is_file()), None)


def _bring(names: Sequence[str]) -> None:
    """Fetches and converts published nets, of which none is here."""
    files = {FILES[name].file: _source(name) for name in names}
    if not network.is_offline():
        _check_space(names, files)
        for name in names:
            say(_announcement(name, files[FILES[name].file]))
    try:
        for name in names:
            source = _source(name) or obtain(name, str(folder()))
            convert(FILES[name].kind, source, str(folder() / name), {}, FILES[name].origin)
    except network.UnreachableError as error:
        raise network.UnreachableError(error.reason, _cure(names)) from error


def _source(name: str) -> pathlib.Path | None:
    """Returns a published file that is already here."""
    path = OWN / FILES[name].file
    return obtain(name, str(OWN)) if path.exists() else None


def _check_space(names: Sequence[str], files: Mapping[str, pathlib.Path | None]) -> None:
    """Raises UserError if the disk cannot hold the files to fetch, and nets of the same size."""
    sizes = {FILES[name].file: FILES[name].megabytes for name in names}
    here = {file for file, path in files.items() if path or (folder() / file).exists()}
    needed = sum(sizes.values()) + sum(size for file, size in sizes.items() if file not in here)
    free = shutil.disk_usage(folder()).free / 1e6
    if free < needed:
        raise UserError(
            f"{' and '.join(names)} need {needed:,} MB in {folder()}, where {free:,.0f} MB are "
            "free: free some, or set VPT_GEN_CACHE to a folder on a larger disk."
        )


def _announcement(name: str, source: pathlib.Path | None) -> str:
    published = FILES[name]
    host = urllib.parse.urlsplit(published.address).netloc
    come = f"{source} is" if source else f"{published.megabytes:,} MB are fetched from {host} and"
    return f"{name} ({published.license}): {come} converted, once, into {folder()}."


def _cure(names: Sequence[str]) -> str:
    """Returns how to bring nets from a machine with a network."""
    pair = next((x for x, backbone in BACKBONES.items() if {*names} <= {*backbone.files}), "")
    commands = [
        f"`python -m vpt_gen.convert --name={name}`" for name in ([pair] if pair else names)
    ]
    made = BACKBONES[pair].files if pair else names
    again = "" if network.is_offline() else "give the same command again to resume, or "
    return (
        f"{again}give {' and '.join(commands)} on a machine with a network, and copy the folders "
        f"{' and '.join(f'weights/{name}' for name in made)} that this makes to {folder()}"
    )
