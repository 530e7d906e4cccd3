"""What every kind of data set says about itself; `config.data.kind` names one."""

import dataclasses
import pathlib
from typing import Any

from ml_collections import ConfigDict

from vpt_gen.data import access
from vpt_gen.data.source import Source


@dataclasses.dataclass(frozen=True)
class Places:
    """Where TensorFlow Datasets looks.

    Attributes:
      data_dir: for prepared data; '' is what the config says, or TFDS's own.
      manual_dir: for files that it does not fetch; '' is TFDS's own.
    """

    data_dir: str = ""
    manual_dir: str = ""


@dataclasses.dataclass
class Entry:
    """A data set as `vpt_gen.data.check` lists it.

    Attributes:
      name: what people call it.
      status: whether it can be used.
      builder: TFDS's, of a data set that is one of TFDS's.
      manual_dir: where files that TFDS does not fetch belong.
      configs: names of the configs that use it.
    """

    name: str
    status: access.Status
    builder: Any = None
    manual_dir: pathlib.Path | None = None
    configs: list[str] = dataclasses.field(default_factory=list)


class Kind:
    """A kind of data set."""

    def open(self, data: ConfigDict, split: str) -> Source:
        """Opens a split.

        Args:
          data: `config.data`.
          split: `data.train_split`, or what `eval_split` gives.

        Raises:
          UserError: data that cannot be opened, or has no such split.
        """
        raise NotImplementedError

    def eval_split(self, data: ConfigDict) -> str:
        """The split to evaluate on; '' if that is `data.holdout` of the training examples."""
        return data.eval_split

    def remark(self, data: ConfigDict) -> str:
        """What to tell before the data are used; '' if nothing."""
        del data
        return ""

    def entry(self, data: ConfigDict, places: Places) -> Entry:
        """The data set that `data` names, for `vpt_gen.data.check`."""
        raise NotImplementedError

    def image_files(self, source: Source) -> list[bytes]:
        """The paths of an opened source's images; none if they are not files of their own."""
        del source
        return []
