"""The 19 tasks of VTAB, read from TFDS or from class folders."""

from __future__ import annotations

import dataclasses
import difflib
import re

import numpy as np

from vpt_gen.data.folders.opening import open_folder
from vpt_gen.data.folders.splits import split_folder
from vpt_gen.data.names import first_few
from vpt_gen.data.source import Source, digest_of
from vpt_gen.data.tfds import (
    Labeling,
    load_builder,
    open_builder,
    open_split,
)
from vpt_gen.data.vtab.splits import SPLITS
from vpt_gen.data.vtab.tasks import TASKS, Task
from vpt_gen.errors import UserError
from vpt_gen.machine import later

with later.imports(globals()):
    import tensorflow_datasets as tfds


def find_task(name: str) -> Task:
    """Finds a task by VTAB's or the configs' name, such as 'caltech101' or 'caltech'."""
    by_name = {task.short: task for task in TASKS.values()} | TASKS
    if name not in by_name:
        near = difflib.get_close_matches(name, by_name, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(TASKS)}."
        raise UserError(f"VTAB has no task {name!r}; {hint}")
    return by_name[name]


def open_task(
    name: str, split: str, *, version: str = "", data_dir: str = "", path: str = ""
) -> Source:
    """Opens one of VTAB's splits of a task, with the task's labels.

    Args:
      name: of the task, see `find_task`.
      split: 'train', 'val', 'trainval', 'test', 'train800', 'val200', 'train800val200' or 'all'.
      version: of the TFDS builder; '' for the table's.
      data_dir: folder of TFDS's data; '' for its default.
      path: class folders to read instead of TFDS: `path/<split>/<class>/`, or `path/<class>/`,
        which then is every split.

    Raises:
      UserError: an unknown task or split, data that are not prepared, or folders that are not the
        task's classes.
    """
    task = find_task(name)
    if split not in SPLITS:
        raise UserError(f"VTAB has no split {split!r}; it has {', '.join(SPLITS)}.")
    if path:
        return _open_folders(task, split_folder(path, split) or path)
    builder = open_builder(f"{task.builder}:{version or task.version}", data_dir)
    return open_split(
        builder,
        task.splits[split],
        Labeling(task.id, task.features, task.rule, class_names(task, builder)),
        image_key=task.image_key,
        pixel_scale=task.pixel_scale,
    )


def class_names(task: Task, builder: tfds.core.DatasetBuilder | None = None) -> tuple[str, ...]:
    """Returns the names of a task's classes in the order of the labels; needs no data."""
    if task.class_names:
        return task.class_names
    builder = builder or load_builder(f"{task.builder}:{task.version}")
    return tuple(builder.info.features[task.features[0]].names)


def folder_key(class_name: str) -> str:
    """Normalizes a name of a folder or class: case and punctuation are ignored."""
    return re.sub(r"[^a-z0-9]+", "_", class_name.lower()).strip("_")


def _open_folders(task: Task, path: str) -> Source:
    """Opens class folders with the task's labels, whatever their order."""
    source = open_folder(path)
    names = class_names(task)
    label_of = {folder_key(name): label for label, name in enumerate(names)}
    found = {folder_key(name) for name in source.class_names}
    unknown = [name for name in source.class_names if folder_key(name) not in label_of]
    missing = [name for name in names if folder_key(name) not in found]
    if unknown or missing or len(found) < len(source.class_names):
        raise UserError(
            f"The folders in {path} are not the {len(names)} classes of {task.id}: "
            f"unknown: {first_few(unknown) or 'none'}; missing: {first_few(missing) or 'none'}"
            + ("." if len(found) == len(source.class_names) else "; two folders name one class.")
        )
    labels = np.array([label_of[folder_key(name)] for name in source.class_names], np.int32)
    return dataclasses.replace(
        source,
        class_names=names,
        labels=labels[source.labels],
        digest=digest_of(source.digest, *names),
    )
