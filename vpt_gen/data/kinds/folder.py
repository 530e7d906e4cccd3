"""Class folders of images, or a flat folder."""

from ml_collections import ConfigDict

from vpt_gen.data import access
from vpt_gen.data.folders.opening import open_folder
from vpt_gen.data.folders.splits import split_folder, unread
from vpt_gen.data.kinds.kind import Entry, Kind, Places
from vpt_gen.data.source import Source


class Folder(Kind):
    """`path/<class>/`, `path/<split>/<class>/`, or images directly in `path`."""

    def open(self, data: ConfigDict, split: str) -> Source:
        folder = split_folder(data.path, split, data.eval_split)
        return open_folder(folder or data.path, data.classes)

    def eval_split(self, data: ConfigDict) -> str:
        # Class folders without splits can only be evaluated on held-out images.
        undivided = data.path and not split_folder(data.path, data.train_split, data.eval_split)
        return "" if undivided else data.eval_split

    def remark(self, data: ConfigDict) -> str:
        if not split_folder(data.path, data.train_split, data.eval_split):
            return ""
        return unread(data.path, (data.train_split, data.eval_split))

    def entry(self, data: ConfigDict, places: Places) -> Entry:
        del places
        return Entry(data.path or "a folder of yours", access.folder_status(data.path))
