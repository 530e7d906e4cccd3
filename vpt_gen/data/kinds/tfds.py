"""A data set of TensorFlow Datasets, or class folders instead of it."""

import pathlib

from ml_collections import ConfigDict

from vpt_gen.data import access, tfds
from vpt_gen.data.kinds.folder import Folder
from vpt_gen.data.kinds.kind import Entry, Places
from vpt_gen.data.source import Source


class Tfds(Folder):
    """`name` of TFDS's catalog; class folders if `path` is set."""

    def open(self, data: ConfigDict, split: str) -> Source:
        if data.path:
            return super().open(data, split)
        return tfds.open_tfds(data.name, split, data.data_dir)

    def builder_name(self, data: ConfigDict) -> str:
        """Returns the data set's name in TFDS."""
        return data.name

    def entry(self, data: ConfigDict, places: Places) -> Entry:
        if data.path:
            return super().entry(data, places)
        builder = tfds.load_builder(self.builder_name(data), places.data_dir or data.data_dir)
        manual_dir = pathlib.Path(builder.data_dir_root) / "downloads" / "manual"
        if places.manual_dir:
            manual_dir = pathlib.Path(places.manual_dir).expanduser()
        status = access.tfds_status(builder, manual_dir)
        return Entry(builder.info.full_name, status, builder, manual_dir)
