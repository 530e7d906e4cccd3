"""The visual-token cache for training: random access to tokens that stay on disk.

With it, training never runs the tokenizer, which at 256 px is about 38 % of a step. A cache is a
folder of shards (shards.py) and a manifest; build.py makes it. Nothing here needs TensorFlow.
"""

import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from vpt_gen.data.shares import pass_shares
from vpt_gen.data.source import Batch
from vpt_gen.data.tokens import shards as token_shards
from vpt_gen.data.tokens.mapped import MappedShards
from vpt_gen.errors import UserError
from vpt_gen.machine import distributed, json_files, lock
from vpt_gen.machine.files import check_writable, json_text, write_text
from vpt_gen.machine.progress import track

MANIFEST = "manifest.json"
MAX_CODES = 2**16  # tokens are kept as uint16
_KINDS: dict[str, json_files.Kind] = {"views": int, "tokens": int, "sha256": dict}
_QUICKLY_CHECKED = 2**30  # bytes that can be hashed in a few seconds


@dataclasses.dataclass(frozen=True)
class TokenCache:
    """A tokenized source: V augmented views of n examples (V = 1: unchanged), N tokens each.

    Attributes:
      shards: records of `shards.record_type` in the order of the examples, in memory or on disk;
        all shards but the last have the same length.
    """

    shards: tuple[np.ndarray, ...] | MappedShards

    def __len__(self) -> int:
        return len(self.labels)

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """(n,) int32."""
        # Copies: views would keep all shards open.
        return np.concatenate([shard["label"].astype(np.int32) for shard in self.shards])

    @property
    def views(self) -> int:
        """V, the number of views."""
        return self.shards[0]["tokens"].shape[1]

    def gather(self, views: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """Reads the tokens (B, N) uint16 of examples `indices` (B,) in the views `views` (B,)."""
        holders, rows = np.divmod(indices, len(self.shards[0]))
        tokens = np.empty((len(indices), self.shards[0]["tokens"].shape[2]), np.uint16)
        for holder in np.unique(holders):
            here = np.flatnonzero(holders == holder)
            tokens[here] = self.shards[holder]["tokens"][rows[here], views[here]]
        return tokens

    def batch(self, views: np.ndarray, indices: np.ndarray) -> Batch:
        """Makes a training batch: tokens uint16 (B, N), label and index int32 (B,)."""
        return {
            "tokens": self.gather(views, indices),
            "label": self.labels[indices],
            "index": indices.astype(np.int32),
        }


def open_cache(folder: pathlib.Path) -> TokenCache:
    """Opens a finished cache and checks every shard against the manifest.

    Raises:
      UserError: a missing or damaged manifest or shard.
    """
    try:
        manifest = json_files.read_object(folder / MANIFEST, "", _KINDS)
    except json_files.DamagedFileError as error:
        raise _unfinished(folder, error.fault) from error
    checksums = manifest["sha256"]
    paths = [folder / name for name in checksums]
    _check(paths, list(checksums.values()))
    try:
        shards = MappedShards(paths, manifest["views"], manifest["tokens"])
    except ValueError as error:
        raise _unfinished(folder, str(error)) from error
    if not paths:
        raise _unfinished(folder, "without shards")
    return TokenCache(shards)


def made_together(folder: pathlib.Path, make: Callable[[], None]) -> TokenCache:
    """Opens the cache in a folder; first makes it, if it is not finished; all processes call this.

    Args:
      folder: shared by all hosts.
      make: makes the missing shards and finishes the cache; all processes call it, if any does.

    Raises:
      UserError: a folder that cannot be written, or a damaged cache.
    """
    if not _is_finished(folder):
        check_writable(folder / MANIFEST, "--config.data.cache_dir")
        with lock.held_for_all(folder, "config.data.cache_dir", wait=True):
            if not _is_finished(folder):  # Another program may have finished it meanwhile.
                make()
    return open_cache(folder)


def _is_finished(folder: pathlib.Path) -> bool:
    """Whether all hosts see the whole cache."""
    distributed.wait_long()  # A host may have hashed another cache until now.
    return distributed.all_agree((folder / MANIFEST).exists())


def finish(folder: pathlib.Path, paths: Sequence[pathlib.Path], about: Mapping[str, Any]) -> None:
    """Writes the manifest of a cache whose shards are all there, which makes it complete.

    Args:
      folder: of the cache.
      paths: its shards, in the order of their examples.
      about: entries of the manifest besides: `views`, and what the tokens were made from.

    Raises:
      UserError: a missing shard.
    """
    checksums = {path.name: token_shards.noted_checksum(path) for path in paths}
    missing = [name for name, checksum in checksums.items() if checksum is None]
    if missing:
        raise UserError(
            f"Token shard {missing[0]} is missing in {folder}: set config.data.cache_dir to a "
            "folder that all hosts share."
        )
    num_tokens = token_shards.num_tokens_in(paths[0], about["views"])
    manifest = {**about, "tokens": num_tokens, "sha256": checksums}
    write_text(folder / MANIFEST, json_text(manifest) + "\n")


def _unfinished(folder: pathlib.Path, fault: str) -> UserError:
    return UserError(
        f"{folder} is not a finished token cache: its {MANIFEST} is missing or damaged ({fault}); "
        "delete that file if it exists, and start again to finish the cache."
    )


def _check(paths: list[pathlib.Path], checksums: list[str]) -> None:
    def checksum(path: pathlib.Path) -> str | None:
        return token_shards.sha256_of(path) if path.is_file() else None

    size = sum(path.stat().st_size for path in paths if path.is_file())
    with ThreadPoolExecutor() as pool:
        found = pool.map(checksum, paths)
        if size > _QUICKLY_CHECKED:
            found = track(found, total=len(paths), label="checking tokens")
        for path, expected, actual in zip(paths, checksums, found, strict=True):
            if actual != expected:
                raise UserError(
                    f"Token shard {path} is {'damaged' if actual else 'missing'}: delete "
                    f"{MANIFEST} next to it and start again; only bad shards are rebuilt."
                )


def token_batches(
    cache: TokenCache,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    rows: np.ndarray | None = None,
) -> Iterator[Batch]:
    """Yields endless shuffled batches, from that of update `start_step` on.

    Every epoch is a new permutation, and every draw picks one of the views. The global batch
    depends only on (seed, step).

    Args:
      cache: the examples.
      batch_size: of the global batch.
      seed: of the order and of the views.
      start_step: of the first batch.
      rows: rows of the global batch that this process needs; None for all.

    Yields:
      Batches of `TokenCache.batch`.
    """
    rows = np.arange(batch_size) if rows is None else rows
    n = len(cache)

    @functools.lru_cache(maxsize=2)  # a batch may span two epochs
    def epoch_draws(epoch: int) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng([seed, epoch])
        return generator.permutation(n), generator.integers(cache.views, size=n)

    for step in itertools.count(start_step):
        epochs, places = np.divmod(step * batch_size + rows, n)
        indices, views = np.empty((2, len(rows)), np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            order, view = epoch_draws(int(epoch))
            indices[here], views[here] = order[places[here]], view[places[here]]
        yield cache.batch(views, indices)


def eval_token_shares(cache: TokenCache, *, batch_size: int, rows: np.ndarray) -> Iterator[Batch]:
    """Yields one pass over the first view, in order: `rows` of each batch, all of one size.

    Yields:
      Batches of `TokenCache.batch`, with `valid` bool (B,), False for padding.
    """
    for indices, valid in pass_shares(len(cache), batch_size, rows):
        yield cache.batch(np.zeros_like(indices), indices) | {"valid": valid}
