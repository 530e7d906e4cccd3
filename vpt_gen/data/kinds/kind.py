"""What every kind of data set provides; `config.data.kind` names one."""

import dataclasses
import pathlib
from typing import Any

from ml_collections import ConfigDict

from vpt_gen.data import access
from vpt_gen.data.source import Source


@dataclasses.dataclass(frozen=True)
class Places:
    """Folders of TensorFlow Datasets.

    Attributes:
      data_dir: for prepared data; '' for the config's, or TFDS's own.
      manual_dir: for files that it does not fetch; '' for TFDS's own.
    """

    data_dir: str = ""
    manual_dir: str = ""


@dataclasses.dataclass
class Entry:
    """A data set as `vpt_gen.data.check` lists it.

    Attributes:
      name: of the data set.
      status: whether it can be used.
      builder: TFDS's, if the data set is from TFDS.
      manual_dir: for files that TFDS does not fetch.
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
          split: `data.train_split`, or the result of `eval_split`.

        Raises:
          UserError: data that cannot be opened, or a missing split.
        """
        raise NotImplementedError

    def eval_split(self, data: ConfigDict) -> str:
        """Returns the split to evaluate on; '' for `data.holdout` of the training examples."""
        return data.eval_split

    def remark(self, data: ConfigDict) -> str:
        """Returns a message to print before the data are used, or ''."""
        del data
        return ""

    def entry(self, data: ConfigDict, places: Places) -> Entry:
        """Returns the data set of `data`, for `vpt_gen.data.check`."""
        raise NotImplementedError
