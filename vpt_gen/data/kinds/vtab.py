"""A task of VTAB."""

from ml_collections import ConfigDict

from vpt_gen.data.kinds.tfds import Tfds
from vpt_gen.data.source import Source
from vpt_gen.data.vtab.opening import find_task, open_task


class Vtab(Tfds):
    """`name` of one of VTAB's 19 tasks; class folders if `path` is set."""

    def open(self, data: ConfigDict, split: str) -> Source:
        return open_task(
            data.name, split, version=data.version, data_dir=data.data_dir, path=data.path
        )

    def builder_name(self, data: ConfigDict) -> str:
        task = find_task(data.name)
        return f"{task.builder}:{data.version or task.version}"

    def remark(self, data: ConfigDict) -> str:
        others = super().remark(data)
        if not data.flip or find_task(data.name).flip != "label":
            return others
        return f"{others}\n".lstrip() + (
            f"Mirroring changes the label of images of {data.name}, but the label is kept, as in "
            "the release: set config.data.flip to False to train without mirrored images."
        )
