"""Arrays in an .npz file."""

from ml_collections import ConfigDict

from vpt_gen.data import access, arrays
from vpt_gen.data.kinds.kind import Entry, Kind, Places
from vpt_gen.data.source import Source


class Npz(Kind):
    """`path` of a file with images, labels, class_names and possibly splits."""

    def open(self, data: ConfigDict, split: str) -> Source:
        return arrays.open_npz(data.path, split)

    def entry(self, data: ConfigDict, places: Places) -> Entry:
        del places
        return Entry(data.path or "a file of yours", access.folder_status(data.path))
